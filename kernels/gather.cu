// Gridding: samples on radial lines are spread onto the grid, of which each cell is a thread's own.
//
// Grid: tiles of 16×16 cells along x and y. A block looks for the angles whose line comes near its tile, 256 at once,
// and then takes 4 lines and 64 samples of each at once: its threads work out one sample each, where it is and the
// kernel's values beside it, and put them into shared memory; then each adds to its cell what is near. No two threads
// write to the same place, and the order is always the same.
//
// Thousands of nearly equal numbers meet in the middle of the grid: some lines at a time are added up, and then their
// sums.
#include "device.h"

#ifndef PAIRS
#define PAIRS 1
#endif
// Points of the kernel along an axis.
#ifndef WIDTH
#define WIDTH 5
#endif

using namespace hpcdaas;

namespace hpcdaas {

constexpr int cells = 16;
constexpr int lines_at_once = 4;
constexpr int samples_at_once = block_size / lines_at_once;
constexpr int lines_summed = 40;
constexpr int widest = 8;

// One sample of one line near a tile: the first of its WIDTH cells, counted from the tile's, and the kernel there.
struct Sample {
    int x, y;
    float along_x[WIDTH], along_y[WIDTH];
    Complex value[PAIRS];
};

// Samples of a line near a tile: where the first one is along the axis that the line is nearer to, in cells of the tile
// less half a kernel, and how many there are from one cell to the next.
struct Line {
    float start, per_cell;
    bool upright;
};

// Which samples have k·step within [low, high]; narrows from … to.
__device__ inline void narrow(float step, float low, float high, int& from, int& to) {
    const float size = step < 0 ? -step : step;
    if (size < 1e-6f) {
        if (low > 0 || high < 0) to = from - 1;
        return;
    }
    const float a = low / step, b = high / step, first = a < b ? a : b, last = a < b ? b : a;
    if (first > from) from = first > to ? to + 1 : static_cast<int>(ceilf(first));
    if (last < to) to = last < from ? from - 1 : static_cast<int>(floorf(last));
}

// The first cell that a sample at k·step reaches, and the kernel's values; see level_spread.inc: a whole number goes up
// by one for negative k, so that k and −k reach mirrored points.
__device__ inline int reach(int k, double step, const float* polynomial, float* values) {
    const double place = k * step - 0.5 * WIDTH;
    double first = ceil(place);
    if (first == place && k < 0) first += 1;
    const float z = static_cast<float>(2 * (first - place) - 1);
    for (int point = 0; point < WIDTH; ++point) {
        float value = polynomial[point];
        for (int d = 1; d <= WIDTH + 1; ++d) value = value * z + polynomial[d * widest + point];
        values[point] = value;
    }
    return static_cast<int>(first);
}

}  // namespace hpcdaas

// out[pair][y][x], x and y = 0 … size − 1, gets the samples [angle][k + half][pair] at k·(step_x, step_y) grid points from
// its middle, size/2; the grid is periodic. polynomial: [WIDTH + 2][8], highest power first.
HPCDAAS_KERNEL gather(const Complex* samples, const double* step_x, const double* step_y, int angles, int half,
                      const float* polynomial, int size, Complex* out) {
    __shared__ Sample near[lines_at_once][samples_at_once];
    __shared__ Line lines[lines_at_once];
    __shared__ int list[block_size], room[warps], from[block_size], count[block_size];
    const int thread = thread_number(), line = thread / samples_at_once, slot = thread % samples_at_once;
    const int x0 = static_cast<int>(blockIdx.x) * cells - size / 2, y0 = static_cast<int>(blockIdx.y) * cells - size / 2;
    const int cell_x = thread % cells, cell_y = thread / cells;
    Complex total[PAIRS] = {};
    for (int image = 0; image < 9; ++image) {
        // The tile itself, and where the grid begins again.
        const int x = x0 + (image % 3 - 1) * size, y = y0 + (image / 3 - 1) * size, reached = size / 2 + WIDTH;
        if (x > reached || x + cells < -reached || y > reached || y + cells < -reached) continue;
        for (int first = 0; first < angles; first += block_size) {
            const int angle = first + thread;
            int low = -half, high = half;
            if (angle < angles) {
                const float margin = 0.5f * WIDTH + 1;
                narrow(static_cast<float>(step_x[angle]), x - margin, x + cells + margin, low, high);
                narrow(static_cast<float>(step_y[angle]), y - margin, y + cells + margin, low, high);
            }
            from[thread] = low, count[thread] = high - low + 1;
            const int found = make_list(angle < angles && low <= high, thread, list, room);
            Complex sum[PAIRS] = {};
            for (int some = 0; some < found; some += lines_at_once) {
                int most = 0;
                for (int l = some; l < some + lines_at_once && l < found; ++l)
                    most = count[list[l]] > most ? count[list[l]] : most;
                for (int start = 0; start < most; start += samples_at_once) {
                    Sample& mine = near[line][slot];
                    const int here = some + line < found ? list[some + line] : -1;
                    if (here >= 0 && start + slot < count[here]) {
                        const int k = from[here] + start + slot;
                        const double dx = step_x[first + here], dy = step_y[first + here];
                        mine.x = reach(k, dx, polynomial, mine.along_x) - x;
                        mine.y = reach(k, dy, polynomial, mine.along_y) - y;
                        if (slot == 0) {
                            const bool upright = dx * dx < dy * dy;
                            const double place = upright ? k * dy - y : k * dx - x;
                            lines[line] = {static_cast<float>(place - 0.5 * WIDTH),
                                           static_cast<float>(1 / (upright ? dy : dx)), upright};
                        }
                        const Complex* value = samples + (static_cast<Index>(first + here) * (2 * half + 1) + k + half) * PAIRS;
                        for (int j = 0; j < PAIRS; ++j) mine.value[j] = value[j];
                    }
                    __syncthreads();
                    for (int l = 0; l < lines_at_once; ++l) {
                        const int there = some + l < found ? count[list[some + l]] - start : 0;
                        if (there <= 0) continue;
                        // What reaches this cell along one axis, and a little more; `px` and `py` say what does.
                        const float at = static_cast<float>(lines[l].upright ? cell_y : cell_x) - lines[l].start;
                        const float one = (at - WIDTH) * lines[l].per_cell, other = at * lines[l].per_cell;
                        const int begin = static_cast<int>(ceilf((one < other ? one : other) - 0.01f));
                        const int end = static_cast<int>(floorf((one < other ? other : one) + 0.01f));
                        for (int i = begin > 0 ? begin : 0; i <= end && i < there && i < samples_at_once; ++i) {
                            const Sample& s = near[l][i];
                            const unsigned px = cell_x - s.x, py = cell_y - s.y;
                            if (px >= WIDTH || py >= WIDTH) continue;
                            const float share = s.along_x[px] * s.along_y[py];
                            for (int j = 0; j < PAIRS; ++j) sum[j] = sum[j] + share * s.value[j];
                        }
                    }
                    __syncthreads();
                }
                if (some % lines_summed == lines_summed - lines_at_once || some + lines_at_once >= found)
                    for (int j = 0; j < PAIRS; ++j) total[j] = total[j] + sum[j], sum[j] = Complex{0, 0};
            }
        }
    }
    const int gx = blockIdx.x * cells + cell_x, gy = blockIdx.y * cells + cell_y;
    if (gx >= size || gy >= size) return;
    for (int j = 0; j < PAIRS; ++j) out[(static_cast<Index>(j) * size + gy) * size + gx] = total[j];
}
