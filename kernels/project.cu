// Line integrals of slices, the adjoint of backproject.cu: each column of a line gathers the pixels that it is shared
// out to there.
//
// Grid: 32 columns along x, 8 lines along y, groups of SLICES slices along z. A thread goes through the rows of a slice,
// of which each has up to three pixels near its ray: lines must be nearer to the x axis, |cos θ| ≥ |sin θ|; for the
// others the slices are turned.
#include "device.h"

#ifndef SLICES
#define SLICES 1
#endif

using namespace hpcdaas;

// out[angle][row][column] = Σ f(x, y)·(1 − |center + x cos θ + y sin θ − column|) over pixels nearer than 1; slices:
// [row][n][n]. Lines are numbers which[0 … lines − 1] of out.
HPCDAAS_KERNEL project(const float* slices, const double* cosine, const double* sine, const int* which, int lines, int n,
                       int rows, int columns, double center, float* out) {
    const int column = blockIdx.x * warp_size + threadIdx.x, line = blockIdx.y * block_y + threadIdx.y;
    if (column >= columns || line >= lines) return;
    const int angle = which[line], first_row = blockIdx.z * SLICES;
    const double c = cosine[angle], s = sine[angle], middle = 0.5 * (n - 1);
    const double start = (column - center + middle * s) / c + middle, slope = s / c;
    const float size = static_cast<float>(c < 0 ? -c : c), reach = static_cast<float>(1 / (c < 0 ? -c : c));
    const Index slice = static_cast<Index>(n) * n;
    float sum[SLICES] = {};
    for (int y = 0; y < n; ++y) {
        const double place = start - y * slope;  // where the ray meets the row
        if (place < -2 || place > n + 1) continue;
        const double whole = floor(place);
        const float rest = static_cast<float>(place - whole);
        const int from = static_cast<int>(whole) + static_cast<int>(ceilf(rest - reach));
        for (int i = 0; i < 3; ++i) {
            const int x = from + i;
            const float away = static_cast<float>(x - static_cast<int>(whole)) - rest;
            const float share = 1.0f - size * (away < 0 ? -away : away);
            if (x < 0 || x >= n || share <= 0.0f) continue;
            const float* pixel = slices + (static_cast<Index>(first_row) * n + y) * n + x;
            for (int j = 0; j < SLICES; ++j)
                if (first_row + j < rows) sum[j] += share * pixel[j * slice];
        }
    }
    for (int j = 0; j < SLICES && first_row + j < rows; ++j)
        out[(static_cast<Index>(angle) * rows + first_row + j) * columns + column] = sum[j];
}
