// Spectra of rows, on their way back to rows: filtered.
//
// Grid: 256 frequencies along x, pairs of rows along y, angles along z.
#include "device.h"

using namespace hpcdaas;

// lines[angle][pair][k] ← lines · factor[k] · weight[angle] for k = 0 … P − 1; the rows' sums stand for k = 0.
HPCDAAS_KERNEL filter(Complex* lines, const Complex* sums, const Complex* factor, const float* weight, int padded) {
    const int k = blockIdx.x * block_size + thread_number(), angle = blockIdx.z;
    if (k >= padded) return;
    const Index line = static_cast<Index>(angle) * gridDim.y + blockIdx.y;
    Complex& value = lines[line * padded + k];
    value = weight[angle] * times(k == 0 ? sums[line] : value, factor[k]);
}
