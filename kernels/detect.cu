// What the detector says of waves: the change that its counts ask for, and the misfit.
//
// Grid: tiles of 32×32 pixels along x and y, views along z. A thread keeps all modes of a pixel in registers. Sums over
// a tile are written one beside the other, and added up in their order by who asked.
#include "views.h"

// Of the counts as they are stored.
#ifndef COUNTS
#define COUNTS unsigned short
#endif
// 0: amplitudes, 1: Gaussian, 2: Poisson.
#ifndef NOISE
#define NOISE 0
#endif

using namespace hpcdaas;

// Φ ← (f + keep)·scale·Φ with f from the counts and Σ|Φ|²·power over modes, 0 at pixels that aren't used; without scale
// nothing is written. Place i of a wave belongs to index (i + shift) mod n of frames and `good`, which is 1 where a
// pixel is used. sums: [view][tile][3], (√I − |Ψ|)², I, likelihood.
HPCDAAS_KERNEL detect(Complex* waves, const COUNTS* frames, const int* frame, const unsigned char* good, float limit,
                      int n, int shift, float power, float keep, float scale, float* sums) {
    __shared__ float room[warps];
    const int view = blockIdx.z, x = blockIdx.x * tile_edge + threadIdx.x;
    const COUNTS* counts = frames + static_cast<Index>(frame[view]) * n * n;
    float error = 0, light = 0, likelihood = 0;
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = blockIdx.y * tile_edge + row;
        if (x >= n || y >= n) continue;
        const int from = (y + shift) % n * n + (x + shift) % n;
        Complex phi[modes];
        float intensity = 0;
        for (int m = 0; m < modes; ++m) {
            phi[m] = waves[place(view, modes, m, n, y, x)];
            intensity += square(phi[m]);
        }
        intensity *= power;
        const float stored = static_cast<float>(counts[from]);
        const bool used = good[from] && stored >= 0.0f && stored < limit;
        float factor = keep;
        if (used) {
#if NOISE == 0
            const Pull pull = pull_amplitude(stored, intensity);
            error += pull.likelihood;
#else
            const Pull pull = NOISE == 1 ? pull_gaussian(stored, intensity) : pull_poisson(stored, intensity);
            error += amplitude_misfit(stored, intensity);
#endif
            light += stored;
            likelihood += pull.likelihood;
            factor += pull.factor;
        }
        if (scale != 0.0f)
            for (int m = 0; m < modes; ++m) waves[place(view, modes, m, n, y, x)] = (factor * scale) * phi[m];
    }
    error = block_sum(error, room);
    light = block_sum(light, room);
    likelihood = block_sum(likelihood, room);
    if (thread_number() == 0) {
        float* sum = sums + 3 * ((static_cast<Index>(view) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
        sum[0] = error, sum[1] = light, sum[2] = likelihood;
    }
}
