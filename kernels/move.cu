// Object and probe move: field += step · factor · Δ, the factor from the light on a pixel.
//
// Grid: tiles of 32×32 pixels along x and y, the first at (top, left).
#include "device.h"

// The factor: 0 what `along` says, 1 that of rPIE.
#ifndef RULE
#define RULE 0
#endif

using namespace hpcdaas;

// Only tiles that are `touched` [tile] move; null: all. field, delta: [mode][height][width]; weight [height][width];
// largest, of the weights, and along: one number in device memory.
HPCDAAS_KERNEL move(Complex* field, const Complex* delta, int count, int height, int width, int top, int left,
                    const unsigned char* touched, const float* weight, const float* largest, float alpha,
                    const double* along, float step) {
    if (touched && !touched[blockIdx.y * gridDim.x + blockIdx.x]) return;
    const int x = left + blockIdx.x * tile_edge + threadIdx.x;
    if (x >= width) return;
#if RULE == 0
    const float factor = step * static_cast<float>(*along);
#endif
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = top + blockIdx.y * tile_edge + row;
        if (y >= height) return;
        const Index pixel = static_cast<Index>(y) * width + x;
#if RULE == 1
        const float factor = step * pie_factor(weight[pixel], alpha, *largest);
#endif
        for (int q = 0; q < count; ++q) {
            const Index at = static_cast<Index>(q) * height * width + pixel;
            field[at] = field[at] + factor * delta[at];
        }
    }
}
