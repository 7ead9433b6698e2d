"""What is used of dask-jobqueue, imported without its taking Ctrl-C to end Python."""

from __future__ import annotations

import signal

_before = signal.getsignal(signal.SIGINT)
from dask_jobqueue.slurm import SLURMCluster, SLURMJob  # noqa: E402

if _before is not None:  # set from Python, and so can be set again
    signal.signal(signal.SIGINT, _before)

__all__ = ["SLURMCluster", "SLURMJob"]
