// The pixels of the object that some views touch, as far as they lie in a box: packed to be sent to another rank.
#pragma once

#include <cstddef>
#include <vector>

namespace hpcdaas {

struct Run {
    int y, x0, x1;  // one run of pixels
};

// Windows of n × n pixels with their corners at (y, x); the box is rows top … bottom − 1, columns left … right − 1.
struct Windows {
    const int* corners = nullptr;  // [view][2]
    int count = 0, n = 0;
    int top = 0, bottom = 0, left = 0, right = 0;
};

// Runs in the order of rows, each pixel once.
std::vector<Run> touched(const Windows& windows);

// Complex numbers of a field [mode][height][width], run after run, mode after mode.
std::size_t count(const std::vector<Run>& runs, int modes);
void pack(const float* field, int modes, int height, int width, const std::vector<Run>& runs, float* packed);
void add_packed(const float* packed, const std::vector<Run>& runs, float* field, int modes, int height, int width);

}  // namespace hpcdaas
