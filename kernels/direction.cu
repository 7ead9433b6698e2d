// LSQ-ML: a group's sum on the object's grid becomes its direction, Δ ← Δ/√(S² + (δ max S)²).
//
// Grid: tiles of 32×32 pixels along x and y, the first at (top, left).
#include "device.h"

using namespace hpcdaas;

// Only in tiles that are `touched` [tile]; null: in all. Before, Δ is added to all_delta and S to all_weight, which may
// be null. delta: [mode][height][width]; weight: [height][width]; largest: max S in device memory.
HPCDAAS_KERNEL direction(Complex* delta, const float* weight, const float* largest, float damping, int count, int height,
                         int width, int top, int left, const unsigned char* touched, Complex* all_delta,
                         float* all_weight) {
    if (touched && !touched[blockIdx.y * gridDim.x + blockIdx.x]) return;
    const int x = left + blockIdx.x * tile_edge + threadIdx.x;
    if (x >= width) return;
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = top + blockIdx.y * tile_edge + row;
        if (y >= height) return;
        const Index pixel = static_cast<Index>(y) * width + x;
        const float factor = damped_factor(weight[pixel], damping * *largest);
        if (all_weight) all_weight[pixel] += weight[pixel];
        for (int q = 0; q < count; ++q) {
            const Index at = static_cast<Index>(q) * height * width + pixel;
            if (all_delta) all_delta[at] = all_delta[at] + delta[at];
            delta[at] = factor * delta[at];
        }
    }
}
