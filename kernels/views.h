// What the kernels of ptychography share: modes, and where things are.
#pragma once

#include "device.h"

#ifndef PROBES
#define PROBES 1
#endif
#ifndef OBJECTS
#define OBJECTS 1
#endif

namespace hpcdaas {

constexpr int modes = PROBES * OBJECTS;

// The object [mode][height][width].
struct Field {
    const Complex* data;
    int height, width;
    __device__ Complex at(int mode, int y, int x) const {
        return data[(static_cast<Index>(mode) * height + y) * width + x];
    }
};

// A place in waves [view][mode][n][n], or in a probe with view 0.
__device__ inline Index place(int view, int count, int mode, int n, int y, int x) {
    return ((static_cast<Index>(view) * count + mode) * n + y) * n + x;
}

// Where the waves of a view are: in the slot that is named, or in the order of the views.
__device__ inline int slot_of(const int* slot, int view) { return slot ? slot[view] : view; }

}  // namespace hpcdaas
