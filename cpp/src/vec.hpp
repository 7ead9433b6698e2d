// Vectors of `lanes` floats by the compiler's own extension: split into what the level has.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hpcdaas {
namespace {

// Stores 32 bytes past the caches, where the machine has such a store and the address allows it:
// what is not read again soon should neither push out what is, nor be read before it is written.
typedef double Quad __attribute__((vector_size(32), aligned(8), may_alias));

inline void stream4(double* to, Quad v) {
#if defined(__AVX__)
    _mm256_stream_pd(to, reinterpret_cast<__m256d&>(v));
#elif defined(__SSE2__)
    _mm_stream_pd(to, reinterpret_cast<__m128d*>(&v)[0]);
    _mm_stream_pd(to + 2, reinterpret_cast<__m128d*>(&v)[1]);
#else
    *reinterpret_cast<Quad*>(to) = v;
#endif
}

inline bool can_stream(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 32 == 0; }

// Makes streamed stores visible to other threads; once at the end of a function that streams.
inline void end_stream() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

}  // namespace

template <int L>
struct VecOf {
    typedef float type __attribute__((vector_size(L * sizeof(float)), aligned(sizeof(float) * (L < 16 ? L : 16)), may_alias));
    typedef int index __attribute__((vector_size(L * sizeof(int))));
};

template <int L>
using Vec = typename VecOf<L>::type;

// Calls f.template operator()<L>() for the lanes that there are: 2, 4, 8 or 16.
template <class F>
__attribute__((always_inline)) inline void with_lanes(int lanes, F&& f) {
    switch (lanes) {
        case 2: return f.template operator()<2>();
        case 4: return f.template operator()<4>();
        case 8: return f.template operator()<8>();
        default: return f.template operator()<16>();
    }
}

}  // namespace hpcdaas
