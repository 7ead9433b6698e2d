// What all kernels share: the size of a block, tiles, sums over a block.
//
// A block has 256 threads: 32 along x, so that a warp reads neighbours, and 8 along y. Where it belongs to a tile of
// 32×32 pixels, a thread takes 4 of them, 8 rows apart. Kernels hold neither FFTs nor launches nor textures, and a
// macro in capitals is given by who compiles them, so that loops over modes have their length at compile time.
#pragma once

#include "element.h"

#ifndef HPCDAAS_KERNEL
#define HPCDAAS_KERNEL extern "C" __global__ void
#endif

namespace hpcdaas {

typedef long long Index;

constexpr int warp_size = 32;
constexpr int block_y = 8;
constexpr int block_size = warp_size * block_y;
constexpr int warps = block_size / warp_size;
constexpr int tile_edge = 32;
constexpr unsigned whole_warp = 0xffffffffu;

__device__ inline int thread_number() { return static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x); }

// The sum over the block, in thread 0; `room` is shared, one number for each warp. The order is always the same.
template <class Number>
__device__ inline Number block_sum(Number value, Number* room) {
    const int thread = thread_number(), lane = thread % warp_size, warp = thread / warp_size;
    for (int step = warp_size / 2; step > 0; step /= 2) value += __shfl_down_sync(whole_warp, value, step);
    __syncthreads();  // the room may still be read
    if (lane == 0) room[warp] = value;
    __syncthreads();
    value = 0;
    if (thread == 0)
        for (int w = 0; w < warps; ++w) value += room[w];
    return value;
}

// The largest of the block's numbers, which are not negative, in thread 0; `room`, as above, is used here alone.
__device__ inline float block_largest(float value, float* room) {
    const int thread = thread_number(), lane = thread % warp_size, warp = thread / warp_size;
    for (int step = warp_size / 2; step > 0; step /= 2)
        value = OneFloat::larger(value, __shfl_down_sync(whole_warp, value, step));
    if (lane == 0) room[warp] = value;
    __syncthreads();
    if (thread == 0)
        for (int w = 0; w < warps; ++w) value = OneFloat::larger(value, room[w]);
    return value;
}

// Puts the numbers of the threads that were chosen into a shared list, in their order; gives how many there are. `room`
// is shared, one number for each warp. A thread that makes the next list waits here for those that still read this one.
__device__ inline int make_list(bool chosen, int number, int* list, int* room) {
    const int thread = thread_number(), lane = thread % warp_size, warp = thread / warp_size;
    const unsigned mask = __ballot_sync(whole_warp, chosen);
    if (lane == 0) room[warp] = __popc(mask);
    __syncthreads();
    int at = __popc(mask & ((1u << lane) - 1)), total = 0;
    for (int w = 0; w < warps; ++w) {
        if (w < warp) at += room[w];
        total += room[w];
    }
    if (chosen) list[at] = number;
    __syncthreads();
    return total;
}

}  // namespace hpcdaas
