// For tests of the shim: a barrier that some threads don't come to. Grid: one block.
HPCDAAS_KERNEL stuck(int* out) {
    if (threadIdx.y > 0) __syncthreads();
    *out = 1;
}
