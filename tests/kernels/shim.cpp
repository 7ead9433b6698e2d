// The machine that runs a block's threads as fibres.
#include <setjmp.h>
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

// A context gives a fibre its stack; from then on it is left and entered by jumps, which ask the system for nothing.
struct Fibre {
    ucontext_t context;
    jmp_buf inside;
    bool begun = false;
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
jmp_buf home;
int running = 0;
void (*kernel)(void**) = nullptr;
void** arguments = nullptr;
const char* wrong = nullptr;

// Back to the scheduler until others have come as far.
void wait(Wait what, unsigned mask = 0) {
    Fibre& me = fibres[running];
    me.wait = what, me.mask = mask;
    if (_setjmp(me.inside) == 0) _longjmp(home, 1);
}

// A thread of one block after the other.
void run_threads() {
    for (;;) {
        kernel(arguments);
        wait(Wait::done);
    }
}

void begin(Fibre& f) {
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.data(), f.context.uc_stack.ss_size = f.stack.size();
    f.context.uc_link = nullptr;
    makecontext(&f.context, run_threads, 0);
    f.begun = true;
    setcontext(&f.context);
}

void enter(int i) {
    running = i, threadIdx = fibres[i].place;
    if (_setjmp(home) != 0) return;
    if (fibres[i].begun) _longjmp(fibres[i].inside, 1);
    begin(fibres[i]);
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
    for (std::size_t i = 0; i < fibres.size(); ++i)
        fibres[i].wait = Wait::nothing, fibres[i].met = 0, turn[i] = static_cast<int>(i);
    if (order == Order::backward) std::reverse(turn.begin(), turn.end());
    // In random order one warp is late for a while: it goes on when no other can.
    int late = -1;
    while (!wrong) {
        if (order == Order::random) {
            std::shuffle(turn.begin(), turn.end(), random);
            if (random() % 8 == 0) late = static_cast<int>(random() % warps.size());
        }
        bool others = false;
        for (int i : turn)
            if (fibres[i].wait == Wait::nothing && i / 32 != late) enter(i), others = true;
        if (others && order == Order::random && release()) continue;
        for (int i : turn)
            if (fibres[i].wait == Wait::nothing) enter(i);
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
    if (wrong) fibres.clear();  // some stand in the middle of a kernel
    return wrong;
}
