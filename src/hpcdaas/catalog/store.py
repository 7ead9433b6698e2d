"""What a store of datasets is, and how one is found from the words after ``--catalog``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from hpcdaas.catalog.record import OrigDatablock, RawDataset, Record
    from hpcdaas.catalog.settings import CatalogSettings, Rule


class Store(Protocol):
    """A catalogue: keeps datasets, gives them with SciCat's field names."""

    def register(self, record: Record) -> str:
        """Put a run in, once; give the pid of its derived dataset."""
        ...

    def register_raw(self, raw: RawDataset, blocks: tuple[OrigDatablock, ...]) -> str:
        """Put a raw scan in, once; give its pid."""
        ...

    def datasets(
        self, *, type: str | None = None, proposal: str | None = None, technique: str | None = None,
        text: str = "", limit: int | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """List datasets, newest first; see `hpcdaas.catalog.embedded.EmbeddedCatalog.datasets`."""
        ...

    def dataset(self, pid: str) -> dict[str, Any]:
        """Give one dataset with files, pictures and links, by its pid or the beginning of it."""
        ...


def default_path() -> Path:
    """Say where the user's own catalogue is: ``$XDG_DATA_HOME/hpcdaas/catalog.db``."""
    # the XDG rules: a relative path counts as none
    data = Path(os.environ.get("XDG_DATA_HOME") or "-")
    return (data if data.is_absolute() else Path.home() / ".local/share") / "hpcdaas" / "catalog.db"


def open_catalog(
    uri: str | None = None, *, settings: CatalogSettings | None = None, rule: Rule | None = None,
    state: Path | None = None, patience: float = 60.0,
) -> Store:  # fmt: skip
    """Open a catalogue.

    Parameters
    ----------
    uri : str, optional
        A path or ``sqlite:///PATH``, or ``https://...`` for SciCat; the user's own catalogue if not given.
    settings : CatalogSettings, optional
        How to talk to SciCat. Default: the user's, see `hpcdaas.catalog.settings.load_settings`.
    rule : callable, optional
        The site's rule, which says whose a scan is.
    state : Path, optional
        Folder for the journals of what was sent to SciCat. Default: the account's.
    patience : float
        Seconds to go on where SciCat is away or busy.

    Returns
    -------
    Store
        Nothing is written or asked before the first registration, but the folder of the user's own catalogue is made.

    Raises
    ------
    InputError
        If the words mean no catalogue, or the settings can't be used.
    """
    scheme, separator, rest = (uri or "").partition("://")
    if separator and scheme in ("http", "https"):
        from hpcdaas.catalog.address import base_url
        from hpcdaas.catalog.journal import state_folder
        from hpcdaas.catalog.scicat import Scicat
        from hpcdaas.catalog.settings import load_settings

        return Scicat(base_url(uri or ""), settings or load_settings(), rule, state or state_folder(), patience)
    if separator and scheme != "sqlite":
        raise InputError(f"There is no kind of catalogue '{scheme}'.", "Give a path, sqlite:///PATH, or https://...")
    return _embedded(uri, rest.removeprefix("/") if separator else uri, rule)


def _embedded(uri: str | None, name: str | None, rule: Rule | None) -> Store:
    from hpcdaas.catalog.embedded import EmbeddedCatalog

    if name is None:
        path = default_path()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder {path.parent} of your catalogue can't be made: {error.strerror or error}.",
                "Say with --catalog where it shall be.",
            ) from error
        return EmbeddedCatalog(path, optional=True, rule=rule)
    if not name.strip() or "\0" in name:
        raise InputError(f"'{uri}' names no file.", "Give a path, or sqlite:///PATH.")
    path = Path(name).expanduser()
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} for the catalogue.", "Make it, or give another --catalog.")
    return EmbeddedCatalog(path, rule=rule)
