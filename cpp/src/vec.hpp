// Vectors of `lanes` floats by the compiler's own extension: split into what the level has.
#pragma once

namespace hpcdaas {

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
