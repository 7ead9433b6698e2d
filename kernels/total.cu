// Sums over rows of numbers, in an order that is always the same.
//
// Grid: one block.
#include "device.h"

#ifndef NUMBER
#define NUMBER float
#endif
#ifndef COLUMNS
#define COLUMNS 1
#endif

using namespace hpcdaas;

// rows: [count][COLUMNS] of NUMBER; sums[column] += Σ, and last[column] = factor · Σ, which may be null.
HPCDAAS_KERNEL total(const NUMBER* rows, int count, double factor, double* sums, double* last) {
    __shared__ double room[warps];
    for (int column = 0; column < COLUMNS; ++column) {
        double sum = 0;
        for (int row = thread_number(); row < count; row += block_size)
            sum += rows[static_cast<Index>(row) * COLUMNS + column];
        sum = block_sum(sum, room);
        if (thread_number() > 0) continue;
        sums[column] += sum;
        if (last) last[column] = factor * sum;
    }
}
