// FFTs through the FFTW3 interface, found at run time.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>

namespace hpcdaas {

// How lines lie in memory: complex numbers from one number of a line to the next, and from one line to the next.
struct Lines {
    int stride, distance;
};

// One library: its planner is locked, its plans may be executed by any thread.
class FftLibrary {
public:
    // Opens `path`; throws std::runtime_error if it isn't there or lacks the single-precision interface.
    explicit FftLibrary(const std::string& path);
    FftLibrary(const FftLibrary&) = delete;
    FftLibrary& operator=(const FftLibrary&) = delete;

    // Plans a transform of `length` complex numbers, out of place between addresses on 64 bytes; the
    // input may be destroyed. sign −1: exp(−2πi…), +1: exp(+2πi…), both without factor.
    void* plan(int length, int sign);
    // Plans `count` transforms of `length` complex numbers out of place, at addresses on 64 bytes.
    void* plan_lines(int length, int count, Lines in, Lines out, int sign);
    void execute(void* plan, float* in, float* out) const { execute_(plan, in, out); }
    void destroy(void* plan);

    std::string wisdom();
    bool learn(const std::string& wisdom);

private:
    std::mutex planner_;
    void* (*plan_many_)(int, const int*, int, void*, const int*, int, int, void*, const int*, int, int, int, unsigned);
    void (*execute_)(void*, void*, void*);
    void (*destroy_)(void*);
    char* (*export_)();
    int (*import_)(const char*);
    void (*limit_)(double);  // null where the library has no such function
};

// A plan that ends with its owner.
class Fft {
public:
    Fft(FftLibrary& library, int length, int sign) : library_(library), plan_(library.plan(length, sign)) {}
    ~Fft() { library_.destroy(plan_); }
    Fft(const Fft&) = delete;
    Fft& operator=(const Fft&) = delete;
    void operator()(float* in, float* out) const { library_.execute(plan_, in, out); }

private:
    FftLibrary& library_;
    void* plan_;
};

// The same for some lines at once.
class FftLines {
public:
    FftLines(FftLibrary& library, int length, int count, Lines in, Lines out, int sign)
        : library_(library), plan_(library.plan_lines(length, count, in, out, sign)) {}
    ~FftLines() { library_.destroy(plan_); }
    FftLines(const FftLines&) = delete;
    FftLines& operator=(const FftLines&) = delete;
    void operator()(float* in, float* out) const { library_.execute(plan_, in, out); }

private:
    FftLibrary& library_;
    void* plan_;
};

// Zeroed memory in large pages where the system gives them, aligned for every vector level.
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::size_t floats);
    ~Buffer();
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    float* data() const { return data_; }
    std::size_t size() const { return floats_; }

private:
    float* data_ = nullptr;
    std::size_t floats_ = 0;
};

}  // namespace hpcdaas
