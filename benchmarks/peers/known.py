"""The peers that are known: what pip is asked for, what runs in their environments, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import ROOT


@dataclass(frozen=True)
class Known:
    """One peer.

    Attributes
    ----------
    name : str
        Of its folder in build/peers.
    script : str
        What runs there, of this folder.
    packages : tuple of tuple of str
        What pip is asked for, one call after the other.
    rows : mapping
        What its tasks are called in tables.
    threaded : frozenset of str
        Tasks that use more threads than one where they are given.
    beside : tuple of float
        By how much the middles of its slices' pixels (y, x) lie beside ours.
    on_gpu : bool
        Whether all of it needs a GPU, so that it is installed where there is one only.
    """

    name: str
    script: str
    packages: tuple[tuple[str, ...], ...]
    rows: Mapping[str, str]
    threaded: frozenset[str] = field(default_factory=frozenset)
    beside: tuple[float, float] = (0.0, 0.0)
    on_gpu: bool = False

    @property
    def folder(self) -> Path:
        """Its virtual environment."""
        return ROOT / "build" / "peers" / self.name

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"


TORCH = "torch==2.13.0"
#: What pty-chi imports beside PyTorch; torchvision, of which nothing is used, has to fit PyTorch's build.
NEEDED = (
    "numpy", "h5py", "scipy", "tqdm", "matplotlib", "pandas", "scikit-image", "tifffile", "pydantic", "scikit-learn",
)  # fmt: skip
#: What tike needs beside CuPy, which pip would build from its source.
UNDER_TIKE = ("numpy<2", "scipy", "matplotlib", "opencv-python<5", "cupy-cuda12x<14")

TOMOGRAPHY = (
    Known(
        "algotom", "algotom_peer.py", (("algotom",),),
        {"dfi": "algotom dfi", "fbp": "algotom FBP"}, frozenset({"dfi", "fbp"}),
    ),
    Known(
        "astra", "astra_peer.py", (("astra-toolbox",),),
        {"fbp line": "ASTRA FBP, line", "fbp linear": "ASTRA FBP", "fbp cuda": "ASTRA FBP, GPU"},
    ),
    # its axis is in the middle of a pixel, n // 2, ours between two where n is even; its rows are turned round
    Known(
        "scikit-image", "skimage_peer.py", (("scikit-image",),), {"iradon": "scikit-image iradon"}, beside=(0.5, -0.5)
    ),
)  # fmt: skip
PTYCHOGRAPHY = (
    Known(
        "ptychi", "ptychi_peer.py", ((TORCH, *NEEDED), ("--no-deps", "ptychi==2.2.0")),
        {"lsqml": "pty-chi LSQ-ML", "rpie": "pty-chi rPIE", "dm": "pty-chi DM", "lsqml cuda": "pty-chi LSQ-ML, GPU"},
        frozenset({"lsqml", "rpie", "dm"}),
    ),
    Known(
        "cdtools", "cdtools_peer.py", ((TORCH, "cdtools-py"),),
        {"adam": "cdtools Adam", "adam, example": "cdtools Adam, steps of its example"},
        frozenset({"adam", "adam, example"}),
    ),
    Known(
        "tike", "tike_peer.py", (UNDER_TIKE, ("--no-deps", "tike")),
        {"rpie": "tike rPIE", "lstsq": "tike least squares"}, on_gpu=True,
    ),
)  # fmt: skip
KNOWN = {peer.name: peer for peer in (*TOMOGRAPHY, *PTYCHOGRAPHY)}
