// The places of the next views, for kernels that are recorded once and find those of another group each time.
//
// Grid: one block.
#include "device.h"

using namespace hpcdaas;

// Copies corners [view][2] and frame numbers [view] of `count` views from `first` on.
HPCDAAS_KERNEL places(const int* all_corners, const int* all_frames, int first, int count, int* corners, int* frames) {
    for (int i = thread_number(); i < count; i += block_size) {
        corners[2 * i] = all_corners[2 * (first + i)];
        corners[2 * i + 1] = all_corners[2 * (first + i) + 1];
        frames[i] = all_frames[first + i];
    }
}
