// Zingers: pixels that stand out of the median around them.
#pragma once

#include <cstddef>

#include "hpcdaas/level.hpp"

namespace hpcdaas {

// Frames [frame][row][column], changed in place; columns lie side by side.
struct Frames {
    void* data = nullptr;
    Type type = Type::f32;
    int count = 0, rows = 0, columns = 0;
    std::ptrdiff_t frame_stride = 0, row_stride = 0;  // elements
};

// A pixel that is above the median of size × size around it by more than `threshold` of that median becomes it.
struct Outliers {
    int size;
    float threshold;
    int first, last;  // rows first … last − 1 are counted
};

// Gives how many pixels of those rows were replaced.
long replace_outliers(const Frames& frames, const Outliers& outliers, int threads);

}  // namespace hpcdaas
