// The largest of numbers that are not negative.
//
// Grid: one block.
#include "device.h"

using namespace hpcdaas;

HPCDAAS_KERNEL largest(const float* numbers, int count, float* out) {
    __shared__ float room[warps];
    float most = 0;
    for (int i = thread_number(); i < count; i += block_size) most = OneFloat::larger(most, numbers[i]);
    most = block_largest(most, room);
    if (thread_number() == 0) *out = most;
}
