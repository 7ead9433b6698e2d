"""What a complete scan becomes: a run with its identity, its recipe, its place and its cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcdaas.catalog.record import record_path
from hpcdaas.cluster import template as templates
from hpcdaas.errors import unwritable
from hpcdaas.io import open_scan
from hpcdaas.io.nexus_result import existing_run
from hpcdaas.pipeline.asked import recipe_for
from hpcdaas.recipe import Recipe
from hpcdaas.run import raw_identity, run_identity
from hpcdaas.scan import PtychoScan, Scan, parse_slice
from hpcdaas.step import Axis

#: Core seconds: of one byte read, of one voxel filled, of one pixel of one view of one mode in one iteration.
#: Measured by benchmarks/bench_file_to_file.py and bench_ptycho.py, where the result isn't limited by a disk;
#: the ledger corrects them by what runs really took.
PER_BYTE, PER_VOXEL, PER_PIXEL = 2e-9, 6e-9, 8e-9
#: Core seconds of any run: files are opened, written and synced.
EACH = 0.5


@dataclass(frozen=True)
class Wanted:
    """What is asked for of a scan.

    Attributes
    ----------
    scan : Path
    recipe : Path or None
        Recipe file; None: the default of the technique.
    template : str
        Of the result's path, see `hpcdaas.cluster.template`.
    attempt : int
    """

    scan: Path
    recipe: Path | None
    template: str
    attempt: int = 1


@dataclass(frozen=True)
class Prepared:
    """A run that can be carried out.

    Attributes
    ----------
    run : str
        Identity.
    recipe : str
        Name of the recipe.
    toml : str
        The whole recipe.
    technique : str
    result : Path
    files : tuple of Path
        All that the scan reaches.
    shape : tuple of int
    work : float
        Estimated core seconds.
    there : bool
        Whether the result holds this run already.
    """

    run: str
    recipe: str
    toml: str
    technique: str
    result: Path
    files: tuple[Path, ...]
    shape: tuple[int, ...]
    work: float
    there: bool


def prepare(wanted: Wanted) -> Prepared:
    """Make a run of a scan: opens it, and reads the blocks that its identity is made of.

    Raises
    ------
    InputError
        If the scan or the recipe is refused.
    """
    recipe = recipe_for(wanted.scan, wanted.recipe)
    scan = open_scan(wanted.scan, recipe.scan)
    files = tuple(file.parent.resolve() / file.name for file in scan.files)
    run = run_identity(raw_identity(files), recipe.resolved(), wanted.attempt)
    words = {
        "proposal": str(scan.metadata.get("proposal") or templates.UNKNOWN),
        "folder": wanted.scan.absolute().parent.name,
        "scan": wanted.scan.stem,
        "recipe": recipe.name,
        "run8": run[:8],
    }
    result = templates.fill(wanted.template, words)
    try:
        result.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(result.parent, error) from error
    there = is_there(result, run)
    return Prepared(
        run, recipe.name, recipe.toml(), scan.technique, result, files, scan.shape, work_of(scan, recipe), there
    )


def is_there(result: Path, run: str) -> bool:
    """Say whether a result with its record is safe on disk."""
    return existing_run(result) == run and record_path(result).exists()


def work_of(scan: Scan | PtychoScan, recipe: Recipe) -> float:
    """Estimate core seconds from sizes alone.

    Filtered back-projection in Fourier space costs as its data and its voxels do; ptychography as its
    views, modes and iterations do.
    """
    frames, height, width = scan.shape
    if isinstance(scan, PtychoScan):
        pixels = frames * height * width * max(1, _largest(recipe, "modes"))
        iterations = sum(int(getattr(s.parameters, "iterations", 0)) for s in recipe.only(Axis.VIEW))
        again = 2 if recipe.only(Axis.QUALITY) else 1
        return float(EACH + pixels * iterations * again * PER_PIXEL)
    rows = parse_slice(recipe.scan.rows, height)
    share = max(1, (rows.stop - rows.start) // (rows.step or 1))
    return float(EACH + frames * share * width * 2 * PER_BYTE + share * width * width * PER_VOXEL)


def _largest(recipe: Recipe, name: str) -> int:
    values: list[Any] = [getattr(s.parameters, name, 0) for s in recipe.steps]
    return max((int(value) for value in values if isinstance(value, int)), default=0)
