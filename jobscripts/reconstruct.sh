#!/bin/bash
# One scan as one job:
#     sbatch --cpus-per-task=32 --mem=64G jobscripts/reconstruct.sh scan.nxs -o result.h5
# Cores and memory are those of the job. Two minutes before its time is over the run writes a checkpoint and ends with
# code 3: submit the same line again, and it goes on.
#SBATCH --job-name=hpcdaas
#SBATCH --signal=B:USR1@120
exec hpcdaas reconstruct "$@"
