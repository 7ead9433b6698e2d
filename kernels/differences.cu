// Rows on their way to their transform: corrected, two in each complex row, as first differences.
//
// The large low frequencies of a row, which the filter removes, would drown the high ones in their rounding. What
// differences don't know, the sum of a row, is kept apart.
//
// Grid: pairs of rows along x, angles along y. A block goes along its rows, 256 columns at once.
#include "detector.h"

using namespace hpcdaas;

// out[angle][pair][i] = p[i] − p[i−1] for i = 0 … columns, p being 0 outside, then zeros up to `padded`: rows 2·pair as
// real parts, 2·pair + 1 as imaginary ones. sums: [angle][pair].
HPCDAAS_KERNEL differences(const COUNTS* data, const float* dark, const float* net, const int* group,
                           const float* weight, int groups, int first_row, int all_rows, int log, float floor, int rows,
                           int columns, int padded, Complex* out, Complex* sums, unsigned long long* nonpositive,
                           int* not_finite) {
    __shared__ Complex values[block_size + 1];
    __shared__ float total[warps];
    __shared__ int room[warps];
    const Detector detector{data, dark, net, group, weight, groups, first_row, all_rows, log, floor, rows, columns};
    const int thread = thread_number(), pair = blockIdx.x, angle = blockIdx.y, row = 2 * pair;
    Complex* line = out + (static_cast<Index>(angle) * gridDim.x + pair) * padded;
    Complex sum{0, 0};
    int low = 0, wrong = 0;
    if (thread == 0) values[0] = Complex{0, 0};
    for (int first = 0; first < padded; first += block_size) {
        const int column = first + thread;
        Complex value{0, 0};
        if (column < columns) {
            value.re = detector.at(angle, row, column, low, wrong);
            if (row + 1 < rows) value.im = detector.at(angle, row + 1, column, low, wrong);
        }
        values[thread + 1] = value;
        sum = sum + value;
        __syncthreads();
        const Complex before = values[thread];
        if (column < padded) line[column] = value + -1.0f * before;
        __syncthreads();
        if (thread == block_size - 1) values[0] = value;
    }
    sum.re = block_sum(sum.re, total);
    sum.im = block_sum(sum.im, total);
    if (thread == 0) sums[static_cast<Index>(angle) * gridDim.x + pair] = sum;
    tell(low, wrong, angle, nonpositive, not_finite, room);
}
