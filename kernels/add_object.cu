// Sums over views on the object's grid.
//
// Grid: tiles of 32×32 pixels of the object along x and y, the first at (top, left). A block looks for the views that
// touch its tile, 256 at once, and its threads add them in their order, each to pixels of its own: no two threads write
// to the same place, and the sums are the same however the blocks run.
#include "views.h"

using namespace hpcdaas;

// object_sum += Σ conj(P)·χ and weight_sum += Σ |P|² (over modes of the probe); null: not wanted. χ: [slot][mode][n][n].
// Of `all` windows, which may reach beyond the object, the first `views` have waves; the others add to the weight alone.
// Where `fresh` is not 0, sums are written instead of added to, and only in tiles that a window touches; `touched` says
// in which [tile], and `largest` the largest weight in each [tile], 0 elsewhere.
HPCDAAS_KERNEL add_object(const Complex* chi, const int* slot, int views, int all, const int* corners,
                          const Complex* probe, int n, int top, int left, int height, int width, Complex* object_sum,
                          float* weight_sum, int fresh, unsigned char* touched, float* largest) {
    constexpr int rows = tile_edge / block_y;
    __shared__ int list[block_size], room[warps];
    __shared__ float maxima[warps];
    const int thread = thread_number();
    const int y0 = top + static_cast<int>(blockIdx.y) * tile_edge, x0 = left + static_cast<int>(blockIdx.x) * tile_edge;
    const int x = x0 + static_cast<int>(threadIdx.x);
    Complex sum[rows][OBJECTS] = {};
    float weight[rows] = {};
    int windows = 0;
    for (int first = 0; first < all; first += block_size) {
        const int candidate = first + thread;
        bool touches = false;
        if (candidate < all) {
            const int y = corners[2 * candidate], left_edge = corners[2 * candidate + 1];
            touches = y < y0 + tile_edge && y + n > y0 && left_edge < x0 + tile_edge && left_edge + n > x0;
        }
        const int found = make_list(touches, candidate, list, room);
        windows += found;
        for (int i = 0; i < found; ++i) {
            const int view = list[i], ix = x - corners[2 * view + 1];
            const int iy0 = y0 + static_cast<int>(threadIdx.y) - corners[2 * view];
            if (ix < 0 || ix >= n) continue;
            const bool wave = object_sum && view < views;
            const int from = wave ? slot_of(slot, view) : 0;
            for (int r = 0; r < rows; ++r) {
                const int iy = iy0 + r * block_y;
                if (iy < 0 || iy >= n) continue;
                for (int p = 0; p < PROBES; ++p) {
                    const Complex light = probe[place(0, PROBES, p, n, iy, ix)];
                    weight[r] += square(light);
                    if (!wave) continue;
                    for (int q = 0; q < OBJECTS; ++q) {
                        const Complex change = chi[place(from, modes, p * OBJECTS + q, n, iy, ix)];
                        sum[r][q] = sum[r][q] + times(conjugate(light), change);
                    }
                }
            }
        }
    }
    float most = 0;
    for (int r = 0; r < rows && windows > 0; ++r) {
        const int y = y0 + static_cast<int>(threadIdx.y) + r * block_y;
        if (x >= width || y >= height) continue;
        const Index pixel = static_cast<Index>(y) * width + x;
        most = OneFloat::larger(most, weight[r]);
        if (weight_sum) weight_sum[pixel] = fresh ? weight[r] : weight_sum[pixel] + weight[r];
        if (!object_sum) continue;
        for (int q = 0; q < OBJECTS; ++q) {
            Complex& total = object_sum[static_cast<Index>(q) * height * width + pixel];
            total = fresh ? sum[r][q] : total + sum[r][q];
        }
    }
    if (!fresh) return;
    most = block_largest(most, maxima);
    if (thread > 0) return;
    const int tile = blockIdx.y * gridDim.x + blockIdx.x;
    touched[tile] = windows > 0;
    largest[tile] = most;
}
