// Object and probe move: field += step · factor · Δ.
//
// Grid: tiles of 32×32 pixels along x and y, the first at (top, left).
#include "device.h"

using namespace hpcdaas;

// The factor is `along`, one number in device memory, or without it that of rPIE from the light on a pixel. Only tiles
// that are `touched` [tile] move; null: all. field, delta: [mode][height][width]; weight: [height][width]; largest: of
// the weights, one number in device memory.
HPCDAAS_KERNEL move(Complex* field, const Complex* delta, int count, int height, int width, int top, int left,
                    const unsigned char* touched, const float* weight, const float* largest, float alpha,
                    const double* along, float step) {
    if (touched && !touched[blockIdx.y * gridDim.x + blockIdx.x]) return;
    const int x = left + blockIdx.x * tile_edge + threadIdx.x;
    if (x >= width) return;
    const float same = along ? static_cast<float>(*along) : 0.0f;
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = top + blockIdx.y * tile_edge + row;
        if (y >= height) return;
        const Index pixel = static_cast<Index>(y) * width + x;
        const float factor = step * (along ? same : pie_factor(weight[pixel], alpha, *largest));
        for (int q = 0; q < count; ++q) {
            const Index at = static_cast<Index>(q) * height * width + pixel;
            field[at] = field[at] + factor * delta[at];
        }
    }
}
