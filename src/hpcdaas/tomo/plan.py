"""How a scan goes through the memory: rows at once, passes over the file. Plain arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpcdaas.errors import InputError
from hpcdaas.parallel.split import most_rows

#: Slices that are reconstructed together: the vector lanes of the kernels.
BATCH = 16
#: What a process needs before it holds any data: interpreter, libraries, the metadata of a large file.
RESIDENT = 220_000_000
#: Batches of slices that are being written, beside the one that is computed: more would make neither faster.
WAITING = 1
#: Blocks that a scan comes in at least, where its rows allow: what is read first is waited for.
SHARES = 8
#: More than this at once makes reading no faster.
READ_ENOUGH = 256_000_000


@dataclass(frozen=True)
class Load:
    """What a scan and a recipe ask of the memory.

    Attributes
    ----------
    angles, rows, columns : int
        Projections, detector rows to be reconstructed, detector columns.
    itemsize : int
        Bytes of a raw pixel.
    slice_bytes : int
        Of one slice while it is computed (float32).
    fixed : int
        Bytes of the kernels' own work space for a batch, and of what is kept of the whole scan.
    field_frames : int
        Flat and dark frames that come with each block.
    halo : int
        Rows that steps need at each end of a block.
    float_copies : int
        Float32 copies of a block that steps make; 0 where kernels load raw counts.
    whole_frames : bool
        Whether every read decodes whole frames.
    step : int
        Between the rows to be reconstructed.
    field_bytes : int
        Bytes of a pixel of flats and darks, averages included.
    finds_center : bool
        Whether the centre has to be found first, on a few rows.
    ranks : int
        Ranks that share the rows. The memory is that of one of them.
    threads : int
        Threads of a rank.
    row_work : int
        Bytes that each of them needs beside the sinogram that it corrects.
    """

    angles: int
    rows: int
    columns: int
    itemsize: int
    slice_bytes: int
    fixed: int
    field_frames: int = 0
    halo: int = 0
    float_copies: int = 0
    whole_frames: bool = False
    step: int = 1
    field_bytes: int = 0
    finds_center: bool = False
    ranks: int = 1
    threads: int = 1
    row_work: int = 0

    @property
    def own_rows(self) -> int:
        """Rows of one rank, at most."""
        return most_rows(self.rows, self.ranks)

    @property
    def span(self) -> int:
        """Detector rows from the first to the last of those that are reconstructed."""
        return (self.rows - 1) * self.step + 1


@dataclass(frozen=True)
class Plan:
    """The way of a scan through the memory.

    Attributes
    ----------
    block : int
        Rows of a rank that are in memory at once.
    hold : bool
        True where all raw counts are read once and held.
    passes : int
        How often the file is read.
    bytes : int
        Expected peak of resident memory.
    """

    block: int
    hold: bool
    passes: int
    bytes: int

    def sentence(self) -> str:
        """Say it for people."""
        rows = "one row" if self.block == 1 else f"{self.block} rows"
        way = "raw counts held in memory" if self.hold else f"{rows} at a time"
        times = "once" if self.passes == 1 else f"{self.passes} times"
        return f"{way}, the file is read {times}, about {self.bytes / 1e9:.1f} GB of memory"


def block_bytes(load: Load, block: int, hold: bool) -> int:
    """Memory that a run needs with blocks of some rows."""
    tall = block + 2 * load.halo
    row = load.angles * load.columns
    # one is read while one is used; of held counts steps that write, or need a halo, get copies
    if hold:
        copies = 0 if load.ranks == 1 and not load.float_copies else 2 * tall
        raw = row * load.itemsize * (-(-(load.span + 2 * load.halo) // load.ranks) + copies)
    else:  # what is exchanged is there twice for a moment
        raw = row * load.itemsize * tall * (2 if load.ranks == 1 else 3)
    work = row * tall * 4 * load.float_copies + min(load.threads, tall) * load.row_work
    fields = load.field_frames * tall * load.columns * load.field_bytes * 2
    slices = (1 + WAITING) * min(block, BATCH) * load.slice_bytes
    return RESIDENT + raw + work + fields + slices + load.fixed


def _lean(load: Load, block: int) -> int:
    """Give the rows at once where the counts are held: half as many where else the work space outweighs the counts.

    Counts shrink as ranks are added, and the kernels' work space for a batch does not.
    """
    counts = load.angles * load.columns * load.itemsize * load.span / load.ranks
    work = load.fixed + (1 + WAITING) * block * load.slice_bytes
    return block // 2 if load.ranks > 1 and block == BATCH and work > counts else block


def make_plan(load: Load, memory: int, sharing: int = 1) -> Plan:
    """Choose how many rows are in memory at once.

    Rows that can be read by themselves come in blocks of some hundred MB, each byte of the file
    once. Where each read decodes whole frames, the raw counts are held if they fit; else blocks
    are as tall as the memory allows, and each is one more pass over the file.

    Parameters
    ----------
    load : Load
    memory : int
        The budget of a rank in bytes.
    sharing : int
        Ranks of one node: what people give is the budget of all of them.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If not even one row fits.
    """
    single = load.step > 1 and load.halo > 0  # rows apart from each other, each with its own halo
    largest = 1 if single else load.own_rows
    if load.whole_frames:
        held = _lean(load, min(BATCH, largest))
        if block_bytes(load, held, hold=True) <= memory:
            return Plan(held, True, 1, block_bytes(load, held, hold=True))
    if not load.whole_frames:
        enough = min(READ_ENOUGH // (load.angles * load.columns * load.itemsize), load.own_rows // SHARES)
        largest = min(largest, max(BATCH, enough // BATCH * BATCH, 4 * load.halo))
    sizes = [*range(largest - largest % BATCH, 0, -BATCH), *(n for n in (8, 4, 2, 1) if n < BATCH)]
    if largest < BATCH:
        sizes.insert(0, largest)
    for block in sizes:
        need = block_bytes(load, block, hold=False)
        if block <= largest and need <= memory:
            passes = -(-load.own_rows // block) + load.finds_center if load.whole_frames else 1
            return Plan(block, False, passes, need)
    need = block_bytes(load, 1, hold=False)
    raise InputError(
        f"{sharing * memory / 1e9:.2f} GB of memory are not enough for one row of this scan"
        + (f" on each of {sharing} ranks." if sharing > 1 else "."),
        f"Give at least --memory {math.ceil(sharing * need / 1e8) / 10:.1f}GB.",
    )
