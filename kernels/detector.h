// What the kernels of tomography share: detector pixels, corrected while they are loaded.
#pragma once

#include "device.h"

// Of the counts as they are stored.
#ifndef COUNTS
#define COUNTS unsigned short
#endif

namespace hpcdaas {

// Projections [angle][row][column], with what is to be corrected: see Correction in backend/__init__.py. Without `dark`
// the data are taken as they are. dark, net: [group][all_rows][column], of which these are rows first_row ….
struct Detector {
    const COUNTS* data;
    const float *dark, *net;
    const int* group;
    const float* weight;
    int groups, first_row, all_rows, log;
    float floor;
    int rows, columns;

    // The corrected value; adds to `low` what was not positive before the logarithm, and to `wrong` what is no number.
    __device__ float at(int angle, int row, int column, int& low, int& wrong) const {
        float value = static_cast<float>(data[(static_cast<Index>(angle) * rows + row) * columns + column]);
        if (dark) {
            const Index frame = static_cast<Index>(all_rows) * columns;
            const Index pixel = static_cast<Index>(first_row + row) * columns + column;
            const int k = group[angle], next = k + 1 < groups ? k + 1 : groups - 1;
            const float a = weight[angle];
            float light = net[k * frame + pixel];
            if (a != 0.0f) light = (1.0f - a) * light + a * net[next * frame + pixel];
            value = transmission(value, dark[pixel], light);
        }
        wrong += !is_number(value);
        if (!log) return value;
        bool small;
        value = line_integral(value, floor, small);
        low += small;
        return value;
    }
};

// What was found in the data: how much wasn't positive, and the first angle with what is no number.
__device__ inline void tell(int low, int wrong, int angle, unsigned long long* nonpositive, int* not_finite, int* room) {
    low = block_sum(low, room);
    wrong = block_sum(wrong, room);
    if (thread_number() > 0) return;
    if (low) atomicAdd(nonpositive, static_cast<unsigned long long>(low));
    if (wrong) atomicMin(not_finite, angle);
}

}  // namespace hpcdaas
