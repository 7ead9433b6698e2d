// Spectra of rows as gridding takes them: filtered, moved to the rotation axis, frequency after frequency.
//
// Grid: 256 frequencies along x, angles along y. A thread takes a frequency of all pairs.
#include "device.h"

#ifndef PAIRS
#define PAIRS 1
#endif

using namespace hpcdaas;

// out[angle][k + P/2][pair] = in[angle][pair][k mod P] · w H/(1 − e^{−iα}) e^{iφk} for k = −P/2 … P/2, α = 2πk/P; the
// rows' sums stand for k = 0, of which differences know nothing. turn: φ/2π of each angle; weight: w/P of each; response:
// |H/(1 − e^{−iα})| for k = 0 … P/2, at 0 H, at P/2 a half of it.
HPCDAAS_KERNEL spectrum(const Complex* in, const Complex* sums, const double* turn, const float* weight,
                        const float* response, int half, Complex* out) {
    const int at = blockIdx.x * block_size + thread_number(), angle = blockIdx.y, k = at - half;
    if (at > 2 * half) return;
    const double turns = turn[angle] * k;
    float sine, cosine;
    sincospif(static_cast<float>(2 * (turns - rint(turns))), &sine, &cosine);
    const float scale = weight[angle] * response[k < 0 ? -k : k];
    // A quarter turn: 1/(1 − e^{−iα}) = −i e^{iα/2}/(2 sin α/2), whose half pixel is in φ.
    Complex factor{k < 0 ? -scale * sine : scale * sine, k < 0 ? scale * cosine : -scale * cosine};
    if (k == 0) factor = Complex{scale, 0};
    for (int j = 0; j < PAIRS; ++j) {
        const Index line = static_cast<Index>(angle) * PAIRS + j;
        const Complex value = k == 0 ? sums[line] : in[line * 2 * half + (k < 0 ? k + 2 * half : k)];
        out[(static_cast<Index>(angle) * (2 * half + 1) + at) * PAIRS + j] = times(value, factor);
    }
}
