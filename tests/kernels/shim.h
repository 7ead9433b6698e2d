// Kernels on the host: what CUDA adds to C++, for code that runs one block at a time (shim.cpp).
//
// The threads of a block are fibres. One runs until it meets a barrier, a shuffle or a ballot, then another does, in an
// order that is asked for: forward, backward or random. What lacks a barrier sees another thread's work too early or too
// late in one of them. Shared memory holds no numbers when a block begins.
#pragma once

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("shared_memory")))
#define HPCDAAS_KERNEL static void

namespace shim {

struct Index3 {
    unsigned x = 1, y = 1, z = 1;
};

void barrier();
// All lanes of the mask say 8 bytes; afterwards each may hear what the others said.
void meet(unsigned mask, const void* said, int bytes);
void hear(int lane, void* said, int bytes);
int lane();

template <class T>
T exchange(unsigned mask, T value, int from) {
    meet(mask, &value, sizeof value);
    hear(from, &value, sizeof value);
    return value;
}

}  // namespace shim

extern shim::Index3 threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { shim::barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { shim::exchange(mask, 0, shim::lane()); }

template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
    return shim::exchange(mask, value, from % 32);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int by) {
    return shim::exchange(mask, value, shim::lane() + by < 32 ? shim::lane() + by : shim::lane());
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int by) {
    return shim::exchange(mask, value, shim::lane() >= by ? shim::lane() - by : shim::lane());
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with) {
    return shim::exchange(mask, value, shim::lane() ^ with);
}
inline unsigned __ballot_sync(unsigned mask, bool vote) {
    const unsigned own = vote;
    shim::meet(mask, &own, sizeof own);
    unsigned votes = 0, one = 0;
    for (int l = 0; l < 32; ++l) {
        if (!(mask >> l & 1)) continue;
        shim::hear(l, &one, sizeof one);
        votes |= one << l;
    }
    return votes;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

template <class T>
T atomicAdd(T* at, T value) {
    const T before = *at;
    *at = before + value;
    return before;
}
template <class T>
T atomicMin(T* at, T value) {
    const T before = *at;
    if (value < before) *at = value;
    return before;
}

inline double rint(double x) { return __builtin_rint(x); }
inline double ceil(double x) { return __builtin_ceil(x); }
inline double floor(double x) { return __builtin_floor(x); }
inline double fabs(double x) { return __builtin_fabs(x); }
inline float fabsf(float x) { return __builtin_fabsf(x); }
inline float floorf(float x) { return __builtin_floorf(x); }
inline float ceilf(float x) { return __builtin_ceilf(x); }
inline void sincospif(float x, float* sine, float* cosine) {
    const double pi = 3.14159265358979323846;
    *sine = static_cast<float>(__builtin_sin(pi * x)), *cosine = static_cast<float>(__builtin_cos(pi * x));
}

// A kernel as its caller sees it: what its arguments are ("*" for arrays, then kind and size in bytes), and the call.
namespace shim {

template <class T>
struct Type {
    static constexpr char kind = __is_class(T) ? 'c' : T(0.5f) != T(0) ? 'f' : T(-1) < T(0) ? 'i' : 'u';
    static char* write(char* out) {
        *out++ = kind, *out++ = static_cast<char>('0' + sizeof(T));
        return out;
    }
};
template <class T>
    requires(__is_class(T))
struct Type<T> {
    static char* write(char* out) {
        *out++ = 'c', *out++ = static_cast<char>('0' + sizeof(T));
        return out;
    }
};
template <class T>
struct Type<const T> : Type<T> {};
template <class T>
struct Type<T*> {
    static char* write(char* out) {
        *out++ = '*';
        return Type<T>::write(out);
    }
};

template <class... A>
struct Caller {
    template <class... B>
    static void next(void (*kernel)(A...), void** arguments, B... given) {
        if constexpr (sizeof...(B) == sizeof...(A)) kernel(*given...);
        else next(kernel, arguments, given..., static_cast<Nth<sizeof...(B), A...>*>(arguments[sizeof...(B)]));
    }
    template <int i, class First, class... Rest>
    struct At {
        using type = typename At<i - 1, Rest...>::type;
    };
    template <class First, class... Rest>
    struct At<0, First, Rest...> {
        using type = First;
    };
    template <int i, class... All>
    using Nth = typename At<i, All...>::type;
};

template <class... A>
void describe(void (*)(A...), char* out) {
    ((out = Type<A>::write(out), *out++ = ' '), ...);
    *out = 0;
}
template <class... A>
void call(void (*kernel)(A...), void** arguments) {
    Caller<A...>::next(kernel, arguments);
}

}  // namespace shim

extern "C" char __start_shared_memory[] __attribute__((visibility("hidden")));
extern "C" char __stop_shared_memory[] __attribute__((visibility("hidden")));
__attribute__((section("shared_memory"), used)) static int shim_keeps_the_section = 0;

#define SHIM_KERNEL(name)                                                                                            \
    extern "C" void shim_describe(char* out) { shim::describe(name, out); }                                          \
    extern "C" void shim_call(void** arguments) { shim::call(name, arguments); }                                     \
    extern "C" void shim_clear() {                                                                                   \
        __builtin_memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);                 \
    }
