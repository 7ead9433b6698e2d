"""Many ranks as one program: who does what, and how they meet."""

from hpcdaas.parallel.comm import Comm, Serial, together, world

__all__ = ["Comm", "Serial", "together", "world"]
