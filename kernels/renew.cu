// The stored waves after a general projection.
//
// Grid: tiles of 32×32 pixels along x and y, views along z.
#include "views.h"

using namespace hpcdaas;

// ψ ← (1 − a − b)ψ + a·P·O + b·back; ψ is [slot][mode][n][n], back [view][mode][n][n].
HPCDAAS_KERNEL renew(const Complex* object, int height, int width, const Complex* probe, const int* corners, float a,
                     float b, const Complex* back, Complex* psi, const int* slot, int n) {
    const int view = blockIdx.z, x = blockIdx.x * tile_edge + threadIdx.x;
    if (x >= n) return;
    const Field field{object, height, width};
    const int to = slot_of(slot, view), top = corners[2 * view], left = corners[2 * view + 1];
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = blockIdx.y * tile_edge + row;
        if (y >= n) return;
        Complex o[OBJECTS];
        for (int q = 0; q < OBJECTS; ++q) o[q] = field.at(q, top + y, left + x);
        for (int p = 0; p < PROBES; ++p) {
            const Complex light = probe[place(0, PROBES, p, n, y, x)];
            for (int q = 0; q < OBJECTS; ++q) {
                const int mode = p * OBJECTS + q;
                Complex& wave = psi[place(to, modes, mode, n, y, x)];
                wave = renewed(a, b, times(light, o[q]), back[place(view, modes, mode, n, y, x)], wave);
            }
        }
    }
}
