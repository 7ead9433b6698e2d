// Sums over views on the probe's grid.
//
// Grid: 32 pixels of a row along x, rows along y. The 8 threads of a pixel take every eighth view, and their sums are
// added in their order: no two blocks write to the same place.
#include "views.h"

using namespace hpcdaas;

// probe_sum += factor · Σ conj(O)·χ and weight_sum += Σ |O|² (over modes of the object); null: not wanted.
// χ: [slot][mode][n][n]. Where `fresh` is not 0, sums are written instead of added to, and `largest` says the largest
// weight of each [block].
HPCDAAS_KERNEL add_probe(const Complex* chi, const int* slot, int views, const int* corners, const Complex* object,
                         int height, int width, int n, float factor, Complex* probe_sum, float* weight_sum, int fresh,
                         float* largest) {
    __shared__ Complex part[block_y][warp_size];
    __shared__ float room[warps];
    const int y = blockIdx.y, x = blockIdx.x * warp_size + threadIdx.x, share = threadIdx.y;
    const Field field{object, height, width};
    Complex sum[PROBES + 1] = {};  // the last one is the weight
    if (x < n)
        for (int view = share; view < views; view += block_y) {
            const int from = slot_of(slot, view), top = corners[2 * view], left = corners[2 * view + 1];
            for (int q = 0; q < OBJECTS; ++q) {
                const Complex o = field.at(q, top + y, left + x);
                sum[PROBES].re += square(o);
                if (probe_sum)
                    for (int p = 0; p < PROBES; ++p) {
                        const Complex change = chi[place(from, modes, p * OBJECTS + q, n, y, x)];
                        sum[p] = sum[p] + times(conjugate(o), change);
                    }
            }
        }
    float weight = 0;
    for (int p = 0; p <= PROBES; ++p) {
        __syncthreads();
        part[share][threadIdx.x] = sum[p];
        __syncthreads();
        if (share > 0 || x >= n) continue;
        Complex total = part[0][threadIdx.x];
        for (int i = 1; i < block_y; ++i) total = total + part[i][threadIdx.x];
        if (p == PROBES) {
            weight = total.re;
            if (weight_sum) weight_sum[y * n + x] = fresh ? weight : weight_sum[y * n + x] + weight;
        } else if (probe_sum) {
            Complex& there = probe_sum[place(0, PROBES, p, n, y, x)];
            there = fresh ? factor * total : there + factor * total;
        }
    }
    if (!fresh || !largest) return;
    weight = block_largest(weight, room);
    if (thread_number() == 0) largest[blockIdx.y * gridDim.x + blockIdx.x] = weight;
}
