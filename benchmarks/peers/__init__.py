"""Other programs, each in a virtual environment of its own, timed between our runs on the same data.

``known.py`` lists them; ``process.py`` installs and asks them; ``NAME_peer.py`` runs in the environment of one peer,
and ``serve.py`` with it: both import nothing of hpcdaas. ``slices.py`` and ``objects.py`` are `bench_peers.py`'s two
tables.
"""

from peers.known import KNOWN, PTYCHOGRAPHY, TOMOGRAPHY, Known
from peers.process import Peer, Peers, on_threads, peer_options, write_sinograms

__all__ = [
    "KNOWN",
    "PTYCHOGRAPHY",
    "TOMOGRAPHY",
    "Known",
    "Peer",
    "Peers",
    "on_threads",
    "peer_options",
    "write_sinograms",
]
