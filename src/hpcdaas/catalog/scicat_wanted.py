"""A dataset that is to be in SciCat, and what tells it from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcdaas.catalog import scicat_bodies as bodies
from hpcdaas.catalog.journal import digest
from hpcdaas.catalog.record import Attachment, DerivedDataset, OrigDatablock, RawDataset


@dataclass(frozen=True)
class Wanted:
    """A dataset that is to be in the catalogue.

    Attributes
    ----------
    dataset : RawDataset or DerivedDataset
        With the pid that it shall have.
    owned : Whose
        Whose it is.
    identity : tuple of str
        Key and value in `scientificMetadata` by which it is known where the account may choose no pid.
    files : tuple of OrigDatablock
        Its files.
    picture : Attachment or None
    log : str
        Of the run.
    """

    dataset: RawDataset | DerivedDataset
    owned: bodies.Whose
    identity: tuple[str, str]
    files: Sequence[OrigDatablock] = ()
    picture: Attachment | None = None
    log: str = ""

    @property
    def digest(self) -> str:
        """What tells our dataset from another one's: all but the log, in one dialect."""
        body = bodies.Dialect().body(self.dataset, self.owned, self.dataset.pid)
        return digest({key: value for key, value in body.items() if key != "jobLogData"})


def value_of(metadata: Any, key: str) -> str:
    """Give the value of an entry ``{key: {value, unit}}``, empty where there is none."""
    entry = metadata.get(key) if isinstance(metadata, Mapping) else None
    return str(entry.get("value", "")) if isinstance(entry, Mapping) else ""
