"""How a ptychographic scan goes through the memory: frames held, or streamed in pieces. Plain arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from hpcdaas.errors import InputError

#: What a process needs before it holds any data: interpreter, libraries, the metadata of a large file.
RESIDENT = 260_000_000
#: Arrays like the object (complex) that an algorithm keeps at most: itself, sums, gradient, direction, trial, copies.
OBJECTS = 9
#: The same for the probe, without those of the threads.
PROBES = 12
#: Streaming in smaller pieces than this would wait for the disk all the time.
FEWEST = 16


@dataclass(frozen=True)
class Load:
    """What a scan and a recipe ask of the memory.

    Attributes
    ----------
    views, n : int
        Views, and the edge of a frame as it is used.
    itemsize : int
        Bytes of a pixel of it.
    stored_frame : int
        Bytes of a frame as the file has it.
    probes, objects : int
        Modes.
    object_pixels : int
        Of one object mode.
    group : int
        Views whose changes are kept together, at most.
    stores_waves : bool
        Whether an algorithm stores the exit waves of all views.
    threads : int
    """

    views: int
    n: int
    itemsize: int
    stored_frame: int
    probes: int
    objects: int
    object_pixels: int
    group: int
    stores_waves: bool
    threads: int

    @property
    def waves(self) -> int:
        """Bytes of the stored exit waves."""
        return 8 * self.views * self.n**2 * self.probes * self.objects if self.stores_waves else 0

    @property
    def fixed(self) -> int:
        """Bytes beside frames and stored waves."""
        copies = OBJECTS + self.threads - 1  # each thread but one sums apart
        fields = 8 * copies * self.objects * self.object_pixels + 8 * PROBES * self.probes * self.n**2
        of_threads = self.threads * self.n**2 * (16 * self.probes * self.objects + 12 * self.probes)
        kept = 8 * self.n**2 * self.probes * self.objects * max(self.group, 4 * self.threads) + (4 << 20) * self.threads
        return RESIDENT + fields + of_threads + kept + max(128 * 1024**2, 2 * self.stored_frame)


@dataclass(frozen=True)
class Plan:
    """The way of a scan through the memory.

    Attributes
    ----------
    piece : int or None
        Views whose frames are in memory at once; None where all are.
    bytes : int
        Expected peak of resident memory.
    waves : int
        Bytes of it that are stored waves.
    """

    piece: int | None
    bytes: int
    waves: int = 0

    def sentence(self) -> str:
        """Say it for people."""
        way = f"{self.piece} frames at a time, read in each iteration" if self.piece else "frames held in memory"
        waves = f", {self.waves / 1e9:.1f} GB of stored waves" if self.waves else ""
        return f"{way}{waves}, about {self.bytes / 1e9:.1f} GB of memory"


def make_plan(load: Load, budget: int, sharing: int = 1) -> Plan:
    """Choose how the frames are kept.

    Parameters
    ----------
    load : Load
    budget : int
        Bytes of a rank.
    sharing : int
        Ranks of one node: what people give is the budget of all of them.

    Raises
    ------
    InputError
        If even the smallest pieces don't fit; says how much is needed and which recipe needs less.
    """
    frame = load.n**2 * load.itemsize
    whole = load.fixed + load.waves + load.views * frame
    if whole <= budget:
        return Plan(None, whole, load.waves)
    left = budget - load.fixed - load.waves
    piece = left // (2 * frame)  # one piece is read while another is used
    if piece >= max(FEWEST, load.group):
        return Plan(int(piece), load.fixed + load.waves + 2 * int(piece) * frame, load.waves)
    smallest = min(whole, load.fixed + load.waves + 2 * frame * max(FEWEST, load.group))
    needed = f"{-(-sharing * smallest // 10**7) / 100:g}GB"  # no less than it is
    needs = f"This needs {needed[:-2]} GB of memory, and the budget is {sharing * budget / 1e9:.3g} GB."
    if load.waves:
        raise InputError(
            f"{needs} {sharing * load.waves / 1e9:.2f} GB of it are stored exit waves.",
            f"Give --memory {needed}, or use lsqml instead of dm and raar: it stores none.",
        )
    raise InputError(needs, f"Give --memory {needed}, smaller groups, or smaller frames (-s frames.size=...).")
