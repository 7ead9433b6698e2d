// LSQ-ML, for each view: the products of P ΔO, O ΔP and χ that its best steps follow from.
//
// Grid: tiles of 32×32 pixels along x and y, views along z. Sums over a tile are written one beside the other.
#include "views.h"

using namespace hpcdaas;

// sums: [view][tile][5], the squares of P ΔO and O ΔP, their product, and their products with χ [view][mode][n][n].
HPCDAAS_KERNEL products(const Complex* chi, const int* corners, const Complex* object, int height, int width,
                        const Complex* probe, const Complex* object_move, const Complex* probe_move, int n,
                        float* sums) {
    __shared__ float room[warps];
    const int view = blockIdx.z, x = blockIdx.x * tile_edge + threadIdx.x;
    const int top = corners[2 * view], left = corners[2 * view + 1];
    const Field field{object, height, width}, moves{object_move, height, width};
    float sum[5] = {};
    for (int row = threadIdx.y; row < tile_edge; row += block_y) {
        const int y = blockIdx.y * tile_edge + row;
        if (x >= n || y >= n) continue;
        for (int p = 0; p < PROBES; ++p) {
            const Complex light = probe[place(0, PROBES, p, n, y, x)];
            const Complex change = probe_move ? probe_move[place(0, PROBES, p, n, y, x)] : Complex{0, 0};
            for (int q = 0; q < OBJECTS; ++q) {
                const Complex a = object_move ? times(light, moves.at(q, top + y, left + x)) : Complex{0, 0};
                const Complex b = times(field.at(q, top + y, left + x), change);
                const Complex wanted = chi[place(view, modes, p * OBJECTS + q, n, y, x)];
                sum[0] += square(a), sum[1] += square(b), sum[2] += scalar(a, b);
                sum[3] += scalar(a, wanted), sum[4] += scalar(b, wanted);
            }
        }
    }
    float* out = sums + 5 * ((static_cast<Index>(view) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
    for (int i = 0; i < 5; ++i) {
        const float total = block_sum(sum[i], room);
        if (thread_number() == 0) out[i] = total;
    }
}
