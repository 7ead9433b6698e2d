// For tests of the shim: out[i] = in[i] + in[neighbour], through shared memory. Grid: blocks of 256 along x.
#ifndef STEP
#define STEP 1
#endif

HPCDAAS_KERNEL neighbours(const float* in, float* out) {
    __shared__ float room[256];
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, at = blockIdx.x * 256 + thread;
    room[thread] = in[at];
#ifdef BARRIER
    __syncthreads();
#endif
    out[at] = room[thread] + room[(thread + 256 + STEP) % 256];
}
