"""Where and when runs happen, and what is remembered of them: site, SLURM, pools, ledger, watcher."""
