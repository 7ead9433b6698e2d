// For tests of the shim: collectives of a warp. Grid: one block.
HPCDAAS_KERNEL lanes(const int* in, int* down, int* up, int* across, int* first, int* votes, int* sum) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const unsigned all = 0xffffffffu;
    down[thread] = __shfl_down_sync(all, in[thread], 3);
    up[thread] = __shfl_up_sync(all, in[thread], 5);
    across[thread] = __shfl_xor_sync(all, in[thread], 9);
    first[thread] = __shfl_sync(all, in[thread], 0);
    votes[thread] = __popc(__ballot_sync(all, in[thread] % 3 == 0));
    __syncwarp();
    atomicAdd(sum, in[thread]);
}
