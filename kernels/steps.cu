// LSQ-ML, for each view: its best steps from its products.
//
// Grid: 256 views along x, one for each thread.
#include "device.h"

using namespace hpcdaas;

namespace hpcdaas {
struct ProductsOfView {
    double oo, pp, op, ox, px;
};
}  // namespace hpcdaas

// products: [view][tile][5] as products.cu leaves them; steps: [view][2], along ΔO and ΔP.
HPCDAAS_KERNEL steps(const float* products, int views, int tiles, double regularization, int object, int probe,
                     double* steps) {
    const int view = blockIdx.x * block_size + thread_number();
    if (view >= views) return;
    double sum[5] = {};
    const float* of_tile = products + static_cast<Index>(view) * tiles * 5;
    for (int t = 0; t < tiles; ++t, of_tile += 5)
        for (int i = 0; i < 5; ++i) sum[i] += of_tile[i];
    const ProductsOfView p{sum[0], sum[1], sum[2], sum[3], sum[4]};
    const Steps best = best_steps(p, regularization, object != 0, probe != 0);
    steps[2 * view] = best.object;
    steps[2 * view + 1] = best.probe;
}
