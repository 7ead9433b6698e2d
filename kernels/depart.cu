// Waves on their way to the detector: P·O, or what a general projection sends there.
//
// Grid: tiles of 32×32 pixels along x and y, views along z. A thread reads the object once for all modes of the probe.
#include "views.h"

using namespace hpcdaas;

// out = P·O, or with ψ out = c·P·O + (1 − c)·ψ. Waves are [slot][probe mode][object mode][n][n].
HPCDAAS_KERNEL depart(const Complex* object, int height, int width, const Complex* probe, const int* corners,
                      const Complex* psi, const int* psi_slot, float c, Complex* out, const int* out_slot, int n) {
    const int view = blockIdx.z, x = blockIdx.x * tile_edge + threadIdx.x;
    if (x >= n) return;
    const Field field{object, height, width};
    const int from = slot_of(psi_slot, view), to = slot_of(out_slot, view);
    const int top = corners[2 * view], left = corners[2 * view + 1];
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = blockIdx.y * tile_edge + row;
        if (y >= n) return;
        Complex o[OBJECTS];
        for (int q = 0; q < OBJECTS; ++q) o[q] = field.at(q, top + y, left + x);
        for (int p = 0; p < PROBES; ++p) {
            const Complex light = probe[place(0, PROBES, p, n, y, x)];
            for (int q = 0; q < OBJECTS; ++q) {
                const int mode = p * OBJECTS + q;
                Complex wave = times(light, o[q]);
                if (psi) wave = reflected(c, wave, psi[place(from, modes, mode, n, y, x)]);
                out[place(to, modes, mode, n, y, x)] = wave;
            }
        }
    }
}
