// Slices from the transformed grid: the part that is kept, without the kernel's transform, real and imaginary parts
// being two slices.
//
// Grid: tiles of 32×32 pixels along x and y, pairs of slices along z.
#include "device.h"

using namespace hpcdaas;

// out[2·pair][y][x] and out[2·pair + 1][y][x] from grid[pair][size][size], whose index 0 is the slice's pixel n/2; factor
// of each row and column. There are `rows` slices.
HPCDAAS_KERNEL image(const Complex* grid, const float* factor, int size, int n, int rows, float* out) {
    const int pair = blockIdx.z, x = blockIdx.x * tile_edge + threadIdx.x;
    if (x >= n) return;
    const int gx = x < n / 2 ? x - n / 2 + size : x - n / 2;
    const Index slice = static_cast<Index>(n) * n;
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = blockIdx.y * tile_edge + row;
        if (y >= n) return;
        const int gy = y < n / 2 ? y - n / 2 + size : y - n / 2;
        const Complex value = factor[y] * (factor[x] * grid[(static_cast<Index>(pair) * size + gy) * size + gx]);
        float* pixel = out + 2 * pair * slice + static_cast<Index>(y) * n + x;
        pixel[0] = value.re;
        if (2 * pair + 1 < rows) pixel[slice] = value.im;
    }
}
