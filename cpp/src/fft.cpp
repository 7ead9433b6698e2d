// FFTW3's interface by dlopen, and the memory that it works on.
#include "hpcdaas/fft.hpp"

#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <utility>
#include <cstdlib>

namespace hpcdaas {
namespace {

constexpr unsigned measure = 0, destroy_input = 1, patient = 1U << 5;  // FFTW_MEASURE … in fftw3.h
constexpr double no_limit = -1.0, patience = 5.0;  // seconds that a plan may take to find

constexpr std::size_t large_page = std::size_t(1) << 21;

// Bytes that are asked for: whole large pages where at least a quarter of one is needed.
std::size_t room(std::size_t floats) {
    const std::size_t bytes = floats * sizeof(float);
    return bytes < large_page / 4 ? bytes : (bytes + large_page - 1) / large_page * large_page;
}

template <class F>
void find(void* library, const char* name, F& function) {
    function = reinterpret_cast<F>(dlsym(library, name));
    if (!function) throw std::runtime_error(std::string("the FFT library has no function ") + name);
}

}  // namespace

FftLibrary::FftLibrary(const std::string& path) {
    // The library stays open until the process ends: plans may outlive this object.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(std::string("the FFT library can't be opened: ") + dlerror());
    find(library, "fftwf_plan_many_dft", plan_many_);
    find(library, "fftwf_execute_dft", execute_);
    find(library, "fftwf_destroy_plan", destroy_);
    find(library, "fftwf_export_wisdom_to_string", export_);
    find(library, "fftwf_import_wisdom_from_string", import_);
    limit_ = reinterpret_cast<void (*)(double)>(dlsym(library, "fftwf_set_timelimit"));
}

void* FftLibrary::plan(int length, int sign) {
    const std::size_t floats = 2 * static_cast<std::size_t>(length);
    Buffer in(floats), out(floats);
    std::lock_guard lock(planner_);
    void* plan = plan_many_(1, &length, 1, in.data(), nullptr, 1, length, out.data(), nullptr, 1, length, sign,
                            measure | destroy_input);
    if (!plan) throw std::runtime_error("the FFT library has no plan for length " + std::to_string(length));
    return plan;
}

void* FftLibrary::plan_lines(int length, int count, Lines in, Lines out, int sign) {
    const auto room = [&](Lines l) {
        return Buffer(2 * (static_cast<std::size_t>(length - 1) * l.stride + static_cast<std::size_t>(count - 1) * l.distance + 1));
    };
    Buffer from = room(in), to = room(out);
    std::lock_guard lock(planner_);
    // Views are transformed thousands of times: a plan that is a fifth faster is worth some seconds, once per machine.
    if (limit_) limit_(patience);
    void* plan = plan_many_(1, &length, count, from.data(), nullptr, in.stride, in.distance, to.data(), nullptr,
                            out.stride, out.distance, sign, patient);
    if (limit_) limit_(no_limit);
    if (!plan) throw std::runtime_error("the FFT library has no plan for lines of " + std::to_string(length));
    return plan;
}

void FftLibrary::destroy(void* plan) {
    std::lock_guard lock(planner_);
    destroy_(plan);
}

std::string FftLibrary::wisdom() {
    std::lock_guard lock(planner_);
    char* text = export_();
    std::string copy = text ? text : "";
    std::free(text);
    return copy;
}

bool FftLibrary::learn(const std::string& wisdom) {
    std::lock_guard lock(planner_);
    return import_(wisdom.c_str()) != 0;
}

// Whole large pages, on their boundary: else the system gives none, and columns of a wave are on as many small ones as
// the machine can keep in mind.
Buffer::Buffer(std::size_t floats) : floats_(floats) {
    if (floats == 0) return;
    const std::size_t bytes = room(floats), more = bytes < large_page ? 0 : large_page;
    void* memory = mmap(nullptr, bytes + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    char* start = static_cast<char*>(memory);
    if (more) {
        const std::size_t before = (large_page - reinterpret_cast<std::uintptr_t>(start) % large_page) % large_page;
        if (before) munmap(start, before);
        if (before < more) munmap(start + before + bytes, more - before);
        start += before;
    }
#ifdef MADV_HUGEPAGE
    madvise(start, bytes, MADV_HUGEPAGE);
#endif
    data_ = reinterpret_cast<float*>(start);
}

Buffer::~Buffer() {
    if (data_) munmap(data_, room(floats_));
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), floats_(std::exchange(other.floats_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(floats_, other.floats_);
    return *this;
}

}  // namespace hpcdaas
