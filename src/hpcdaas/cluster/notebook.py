"""Pools for people: one line in a notebook or a script gives workers, on the cluster or on this machine."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from hpcdaas.catalog.record import read_record, record_path
from hpcdaas.cluster import template
from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pool.reconstruction import Reconstruction
from hpcdaas.cluster.pool.shown import Picture, ShownResult, showing
from hpcdaas.cluster.pool.task import Order
from hpcdaas.cluster.pool.wide import WidePool
from hpcdaas.cluster.pools import Pool, Pools
from hpcdaas.cluster.site import Site as SiteTable
from hpcdaas.cluster.site import find_site
from hpcdaas.cluster.state import default_folder
from hpcdaas.errors import HpcdaasError
from hpcdaas.io import open_scan
from hpcdaas.recipe import Recipe
from hpcdaas.run import raw_identity, run_identity
from hpcdaas.scan import PtychoScan, Scan

#: Previews go before all else.
FIRST = 1_000_000


class Site:
    """A cluster, or this machine where there is none.

    Examples
    --------
    >>> with Site.load("site.toml").pool("gpu") as pool:  # doctest: +SKIP
    ...     result = pool.reconstruct("scan.nxs", "recipe.toml")
    """

    def __init__(self, table: SiteTable) -> None:
        self.table = table

    @classmethod
    def load(cls, path: str | Path | None = None) -> Site:
        """Read a site file.

        Parameters
        ----------
        path : path, optional
            Default: that of ``HPCDAAS_SITE``, ``./site.toml``, or else this machine by itself.

        Raises
        ------
        InputError
            If it can't be read, or something in it is wrong.
        """
        return cls(find_site(Path(path) if path else None))

    def pool(
        self, name: str = "cpu", *, folder: str | Path = ".", state: str | Path | None = None, register: bool = True
    ) -> WorkPool:
        """Start a pool; it ends with its ``with`` block, or with ``close()``.

        Parameters
        ----------
        name : str
            Of the site file; on a machine without one any name will do.
        folder : path, optional
            Where results go that are given no other place; it is made.
        state : path, optional
            Where the pool keeps its keys and logs, seen from the nodes. Default: the account's state folder.
        register : bool, optional
            Whether results are registered in the site's catalogue, or the account's own.

        Raises
        ------
        InputError
            If there is no such pool, or Dask isn't installed.
        """
        return WorkPool(self.table, name, Path(folder), Path(state) if state else default_folder(), register)


class WorkPool:
    """A pool that takes scans. Made by `Site.pool`.

    Attributes
    ----------
    folder : Path
        Where results go.
    """

    def __init__(self, site: SiteTable, name: str, folder: Path, state: Path, register: bool) -> None:
        self.folder, self._site, self._register = folder.absolute(), site, register
        self._pools = Pools(site, state, say=print)
        try:
            self._pool: Pool | WidePool = self._pools[name]
        except BaseException:
            self._pools.close()
            raise
        self._previews = tempfile.TemporaryDirectory(prefix="previews-", dir=self._pools.folder)

    def submit(
        self, scan: str | Path, recipe: str | Path | Recipe | None = None, out: str | Path | None = None, *,
        settings: Sequence[str] = (), overwrite: bool = False,
    ) -> Reconstruction:  # fmt: skip
        """Ask for a reconstruction; comes back at once.

        Parameters
        ----------
        scan : path
            The raw scan.
        recipe : path or Recipe, optional
            Default: that of the scan's technique.
        out : path, optional
            The result file. Default: ``SCAN_RECIPE_RUN.h5`` in `folder`, another one for each run.
        settings : sequence of str, optional
            As ``-s``: ``NAME.parameter=value`` or ``scan.key=value``.
        overwrite : bool, optional
            Whether a result of another run is replaced.

        Raises
        ------
        InputError
            If scan, recipe or settings are refused.
        """
        asked = self._asked(scan, recipe, out, settings, overwrite)
        asked.begin()
        return asked

    def _asked(
        self, scan: str | Path, recipe: str | Path | Recipe | None = None, out: str | Path | None = None,
        settings: Sequence[str] = (), overwrite: bool = False,
    ) -> Reconstruction:  # fmt: skip
        """Make what `submit` asks for; it doesn't begin yet."""
        file = Path(scan).absolute()
        chosen = _recipe(file, recipe, settings)
        opened = open_scan(file, chosen.scan)
        place = Path(out).absolute() if out else self._place(file, opened, chosen)
        place.parent.mkdir(parents=True, exist_ok=True)
        order = Order(scan=file, out=place, recipe=chosen.resolved(), overwrite=overwrite, key=chosen.name)
        return Reconstruction(self, chosen, self._pool.future(order))

    def reconstruct(self, scan: str | Path, recipe: str | Path | Recipe | None = None, out: str | Path | None = None,
                    **options: Any) -> ShownResult:  # fmt: skip
        """Reconstruct a scan and wait for it, with a bar; takes what `submit` takes.

        Raises
        ------
        InputError, HpcdaasError
            If it fails, or no worker comes. Then, and where the notebook is interrupted, it is given up: it stops at
            its next boundary, with a checkpoint.
        """
        asked = self._asked(scan, recipe, out, **options)
        with asked.or_cancelled(), showing(asked):
            asked.begin()
            return asked.result()

    def map(
        self, scans: Iterable[str | Path], recipe: str | Path | Recipe | None = None, **options: Any
    ) -> Iterator[ShownResult]:
        """Reconstruct many scans; gives the results in the order of the scans, each as soon as it is there.

        All are asked for at once. What fails raises when its turn comes.
        """
        asked = [self.submit(scan, recipe, **options) for scan in scans]
        return (one.result() for one in asked)

    def preview(
        self, scan: str | Path, recipe: str | Path | Recipe | None = None, *, settings: Sequence[str] = ()
    ) -> Picture:
        """Draw a quick picture of a scan: three slices, or a few iterations; takes what `submit` takes."""
        file = Path(scan).absolute()
        return self.preview_of(file, _recipe(file, recipe, settings))

    def preview_of(self, file: Path, recipe: Recipe) -> Picture:
        """Draw a quick picture of a scan, with a recipe that was checked."""
        from hpcdaas.pipeline.preview import preview_of
        from hpcdaas.view.preview import preview

        with tempfile.TemporaryDirectory(dir=self._previews.name) as folder:
            order = Order(
                scan=file, out=Path(folder) / "preview.h5", recipe=preview_of(file, recipe).resolved(), register=False
            )  # fmt: skip
            asked = Reconstruction(self, recipe, self._pool.future(order, FIRST))
            with asked.or_cancelled():
                asked.begin()
                return Picture(preview(asked.wait().path).read_bytes())

    def _place(self, file: Path, scan: Scan | PtychoScan, recipe: Recipe) -> Path:
        run = run_identity(raw_identity(scan.files), recipe.resolved())
        self.folder.mkdir(parents=True, exist_ok=True)
        words = {"scan": file.stem, "recipe": recipe.name, "run8": run[:8]}
        return template.fill(f"{self.folder}/{template.NAME}", words)

    def give(self, future: Future) -> None:
        """Give the pool an order; comes back at once."""
        self._pool.give(future)

    @property
    def trouble(self) -> str:
        """Why no worker comes at present; empty if all is well."""
        return self._pool.trouble

    def registered(self, result: ShownResult) -> ShownResult:
        """Tell the catalogue; where it is away, the record waits for ``hpcdaas catalog flush``."""
        if not self._register or result.pid:
            return result
        from hpcdaas.cluster.poster import catalog_of
        from hpcdaas.cluster.state import default_folder

        try:
            catalog = catalog_of(self._site, default_folder())
            return result.named(catalog.register(read_record(record_path(result.path))))
        except HpcdaasError as error:
            warnings.warn(f"Not registered: {error.message} 'hpcdaas catalog flush' does it later.", stacklevel=4)
            return result

    def close(self) -> None:
        """End the pool: what runs is stopped with a checkpoint."""
        self._previews.cleanup()
        self._pools.close()

    def __enter__(self) -> WorkPool:
        """Use the pool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()

    def __repr__(self) -> str:
        """Say how the pool is."""
        pool = self._pool
        jobs = "".join(f"\n  {name}: {words}" for name, words in pool.jobs.items())
        trouble = f"\n  {pool.trouble}" if pool.trouble else ""
        return f"pool '{pool.table.name}': {pool.waiting} waiting, {pool.running} running{jobs}{trouble}"


def _recipe(file: Path, recipe: str | Path | Recipe | None, settings: Sequence[str]) -> Recipe:
    from hpcdaas.pipeline.asked import recipe_for

    if isinstance(recipe, Recipe):
        return recipe.override(settings)
    return recipe_for(file, Path(recipe) if recipe else None, settings)
