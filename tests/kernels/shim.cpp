// The machine that runs a block's threads as fibres.
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "shim.h"

shim::Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace shim {
namespace {

enum class Wait { nothing, block, warp, done };
enum class Order : int { forward, backward, random };

struct Fibre {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 16);
    Index3 place;
    Wait wait = Wait::nothing;
    unsigned mask = 0;
    int met = 0;  // collectives of its warp so far
};

struct Said {
    std::uint64_t by[2][32];  // at this collective and the next: a lane can be ahead by one
};

std::vector<Fibre> fibres;
std::vector<Said> warps;
ucontext_t home;
int running = 0;
void (*kernel)(void**) = nullptr;
void** arguments = nullptr;
const char* wrong = nullptr;

// Back to the scheduler until others have come as far.
void wait(Wait what, unsigned mask = 0) {
    Fibre& me = fibres[running];
    me.wait = what, me.mask = mask;
    swapcontext(&me.context, &home);
}

void run_thread() {
    kernel(arguments);
    wait(Wait::done);
}

bool together(std::size_t first, const Fibre& one) {
    for (std::size_t l = 0; l < 32; ++l) {
        if (!(one.mask >> l & 1)) continue;
        if (first + l >= fibres.size()) return false;
        const Fibre& other = fibres[first + l];
        if (other.wait != Wait::warp || other.mask != one.mask || other.met != one.met) return false;
    }
    return true;
}

// Lets those go on that have all whom they wait for; says whether there are any.
bool release() {
    bool any = std::all_of(fibres.begin(), fibres.end(), [](const Fibre& f) { return f.wait == Wait::block; });
    if (any)
        for (Fibre& f : fibres) f.wait = Wait::nothing;
    for (std::size_t first = 0; first < fibres.size(); first += 32)
        for (std::size_t i = first; i < std::min(first + 32, fibres.size()); ++i) {
            if (fibres[i].wait != Wait::warp || !together(first, fibres[i])) continue;
            const unsigned mask = fibres[i].mask;
            for (int l = 0; l < 32; ++l)
                if (mask >> l & 1) fibres[first + l].wait = Wait::nothing;
            any = true;
        }
    return any;
}

void run_block(Order order, std::mt19937& random) {
    std::vector<int> turn(fibres.size());
    for (std::size_t i = 0; i < fibres.size(); ++i) {
        Fibre& f = fibres[i];
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data(), f.context.uc_stack.ss_size = f.stack.size();
        f.context.uc_link = nullptr;
        makecontext(&f.context, run_thread, 0);
        f.wait = Wait::nothing, f.met = 0, turn[i] = static_cast<int>(i);
    }
    if (order == Order::backward) std::reverse(turn.begin(), turn.end());
    while (!wrong) {
        if (order == Order::random) std::shuffle(turn.begin(), turn.end(), random);
        for (int i : turn) {
            if (fibres[i].wait != Wait::nothing) continue;
            running = i, threadIdx = fibres[i].place;
            swapcontext(&home, &fibres[i].context);
        }
        if (std::all_of(fibres.begin(), fibres.end(), [](const Fibre& f) { return f.wait == Wait::done; })) return;
        if (!release()) wrong = "threads wait for others that don't come";
    }
}

}  // namespace

void barrier() { wait(Wait::block); }

int lane() { return running % 32; }

void meet(unsigned mask, const void* said, int bytes) {
    Fibre& me = fibres[running];
    if (!(mask >> lane() & 1)) wrong = "a lane isn't in its own mask";
    std::memcpy(&warps[running / 32].by[me.met & 1][lane()], said, bytes);
    ++me.met;
    wait(Wait::warp, mask);
}

void hear(int from, void* said, int bytes) {
    std::memcpy(said, &warps[running / 32].by[(fibres[running].met - 1) & 1][from], bytes);
}

}  // namespace shim

// Runs a kernel; gives what went wrong, or null.
extern "C" const char* shim_launch(void (*call)(void**), void (*clear)(), const unsigned* grid, const unsigned* block,
                                   void** given, int order, unsigned seed) {
    using namespace shim;
    std::mt19937 random(seed);
    const std::size_t threads = std::size_t{block[0]} * block[1] * block[2];
    kernel = call, arguments = given, wrong = nullptr;
    if (fibres.size() != threads) fibres = std::vector<Fibre>(threads);
    warps.resize((threads + 31) / 32);
    const auto place = [](std::size_t i, const unsigned* of) {
        return Index3{static_cast<unsigned>(i % of[0]), static_cast<unsigned>(i / of[0] % of[1]),
                      static_cast<unsigned>(i / of[0] / of[1])};
    };
    for (std::size_t i = 0; i < threads; ++i) fibres[i].place = place(i, block);
    blockDim = {block[0], block[1], block[2]}, gridDim = {grid[0], grid[1], grid[2]};
    const std::size_t blocks = std::size_t{grid[0]} * grid[1] * grid[2];
    for (std::size_t b = 0; b < blocks && !wrong; ++b) {
        blockIdx = place(static_cast<Order>(order) == Order::backward ? blocks - 1 - b : b, grid);
        clear();
        run_block(static_cast<Order>(order), random);
    }
    return wrong;
}
