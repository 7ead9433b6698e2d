// Waves through free space: their spectra times H, or its conjugate.
//
// Grid: tiles of 32×32 frequencies along x and y, waves (view and mode) along z.
#include "views.h"

using namespace hpcdaas;

// w = scale·w·H, or scale·w·conj(H). Waves are [wave][n][n], in the order of the transform.
HPCDAAS_KERNEL transfer(Complex* waves, const Complex* near, int conjugated, float scale, int n) {
    const int wave = blockIdx.z, x = blockIdx.x * tile_edge + threadIdx.x;
    if (x >= n) return;
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = blockIdx.y * tile_edge + row;
        if (y >= n) return;
        const Complex h = near[y * n + x];
        Complex& w = waves[place(wave, 1, 0, n, y, x)];
        w = scale * times(w, conjugated ? conjugate(h) : h);
    }
}
