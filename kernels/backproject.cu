// Ray sums over pixels: lines interpolated linearly where each pixel's ray meets them.
//
// Grid: tiles of 32×32 pixels along x and y, groups of PAIRS pairs of slices along z. For 8 lines at once a block puts the
// columns that its tile's rays meet into shared memory. Where a line is met is known in float64 for the tile's corner
// and in float32 for what is left.
#include "device.h"

// Pairs of slices that share the places of their rays.
#ifndef PAIRS
#define PAIRS 1
#endif

using namespace hpcdaas;

namespace hpcdaas {

constexpr int rays_at_once = 8;
constexpr int met = 48;  // columns: a tile's diagonal, and the neighbours of its ends

// One line near a tile: its first column that is needed, and where the corner's ray meets it, counted from there.
struct Ray {
    int first;
    float corner, cosine, sine;
};

}  // namespace hpcdaas

// out[row][y][x] = Σ lines at center + x cos θ + y sin θ, x and y from the slice's middle; row 2·pair is the real part of
// lines[angle][pair][column], 2·pair + 1 the imaginary one. Lines have a period, or with period 0 are 0 beyond their ends.
HPCDAAS_KERNEL backproject(const Complex* lines, const double* cosine, const double* sine, int angles, int pairs,
                           int columns, int period, double center, int n, int rows, float* out) {
    constexpr int own = tile_edge / block_y;
    __shared__ Complex piece[rays_at_once][PAIRS][met];
    __shared__ Ray rays[rays_at_once];
    const int thread = thread_number(), x0 = blockIdx.x * tile_edge, y0 = blockIdx.y * tile_edge;
    const int first_pair = blockIdx.z * PAIRS;
    const double corner_x = x0 - 0.5 * (n - 1), corner_y = y0 - 0.5 * (n - 1);
    Complex sum[own][PAIRS] = {};
    for (int some = 0; some < angles; some += rays_at_once) {
        if (thread < rays_at_once && some + thread < angles) {
            const double c = cosine[some + thread], s = sine[some + thread], u = center + corner_x * c + corner_y * s;
            const double lowest = u + (c < 0 ? (tile_edge - 1) * c : 0.0) + (s < 0 ? (tile_edge - 1) * s : 0.0);
            const int first = static_cast<int>(floor(lowest)) - 1;  // one more, for float32's last bits
            rays[thread] = {first, static_cast<float>(u - first), static_cast<float>(c), static_cast<float>(s)};
        }
        __syncthreads();
        for (int i = thread; i < rays_at_once * PAIRS * met; i += block_size) {
            const int column = i % met, j = i / met % PAIRS, l = i / met / PAIRS;
            if (some + l >= angles) continue;
            int from = rays[l].first + column;
            if (period) from = (from % period + period) % period;
            const bool there = from >= 0 && from < columns && first_pair + j < pairs;
            const Index line = static_cast<Index>(some + l) * pairs + first_pair + j;
            piece[l][j][column] = there ? lines[line * columns + from] : Complex{0, 0};
        }
        __syncthreads();
        for (int l = 0; l < rays_at_once && some + l < angles; ++l) {
            const Ray ray = rays[l];
            for (int r = 0; r < own; ++r) {
                const int row = threadIdx.y + r * block_y;
                const float u = ray.corner + static_cast<float>(threadIdx.x) * ray.cosine + static_cast<float>(row) * ray.sine;
                const int left = static_cast<int>(u);
                const float share = u - static_cast<float>(left);
                for (int j = 0; j < PAIRS; ++j)
                    sum[r][j] = sum[r][j] + ((1.0f - share) * piece[l][j][left] + share * piece[l][j][left + 1]);
            }
        }
        __syncthreads();
    }
    const int x = x0 + threadIdx.x;
    for (int r = 0; r < own; ++r) {
        const int y = y0 + threadIdx.y + r * block_y;
        if (x >= n || y >= n) continue;
        for (int j = 0; j < PAIRS && first_pair + j < pairs; ++j) {
            const int row = 2 * (first_pair + j);
            float* pixel = out + (static_cast<Index>(row) * n + y) * n + x;
            pixel[0] = sum[r][j].re;
            if (row + 1 < rows) pixel[static_cast<Index>(n) * n] = sum[r][j].im;
        }
    }
}
