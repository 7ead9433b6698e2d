// Flat field and logarithm.
//
// Grid: tiles of 32×32 pixels along x and y, angles along z.
#include "detector.h"

using namespace hpcdaas;

// See Detector (detector.h) for the data and their correction; out: [angle][row][column].
HPCDAAS_KERNEL correct(const COUNTS* data, const float* dark, const float* net, const int* group, const float* weight,
                       int groups, int first_row, int all_rows, int log, float floor, int rows, int columns,
                       int first_angle, float* out, unsigned long long* nonpositive, int* not_finite) {
    __shared__ int room[warps];
    const Detector detector{data, dark, net, group, weight, groups, first_row, all_rows, log, floor, rows, columns};
    const int angle = blockIdx.z, column = blockIdx.x * tile_edge + threadIdx.x;
    int low = 0, wrong = 0;
    for (int i = threadIdx.y; i < tile_edge; i += block_y) {
        const int row = blockIdx.y * tile_edge + i;
        if (column >= columns || row >= rows) continue;
        out[(static_cast<Index>(angle) * rows + row) * columns + column] = detector.at(angle, row, column, low, wrong);
    }
    tell(low, wrong, first_angle + angle, nonpositive, not_finite, room);
}
