"""A result file open for reading: what those of all techniques share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError

Image = NDArray[np.float32]

#: What only a result of ptychography holds.
PTYCHOGRAPHY = "entry/object/data"


class Entry:
    """The ``/entry`` of a result, open for reading; use it in a ``with`` block.

    Parameters
    ----------
    path : Path
        The result file.

    Attributes
    ----------
    path : Path
        The same.

    Raises
    ------
    InputError
        If the file can't be read, or holds nothing of its kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise InputError(f"There is no file {path}.")
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a result file.")
        with ExitStack() as stack:
            try:
                self._file = stack.enter_context(h5py.File(path, "r"))
            except PermissionError as error:
                raise InputError(f"{path} may not be read by this account.") from error
            except OSError as error:
                raise InputError(f"{path} can't be read as HDF5: it is another kind of file, or cut off.") from error
            self._open()
            self._stack = stack.pop_all()

    def _open(self) -> None:
        """Read what the attributes tell; whatever fails here closes the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def image(self, name: str) -> Image | None:
        """Give an array of ``/entry/diagnostics`` as float32, or None where it is missing."""
        return self._array(f"diagnostics/{name}", np.float32)

    def text(self, name: str) -> str | None:
        """Give a text below ``/entry`` (of an array one item per line), or None where it is missing."""
        found = self._file.get(f"entry/{name}")
        if not isinstance(found, h5py.Dataset) or found.shape is None:
            return None
        return "\n".join(text_of(item) for item in np.ravel(found[()]))

    def diagnostic(self, name: str) -> Any:
        """Give an attribute of ``/entry/diagnostics``, or None."""
        return self._attribute("diagnostics", name)

    def metrics(self) -> dict[str, tuple[Any, str]]:
        """Give ``{name: (value, units)}`` of the single values in ``/entry/metrics``."""
        return self._values("metrics")

    def _values(self, group_name: str) -> dict[str, tuple[Any, str]]:
        group = self._file.get(f"entry/{group_name}")
        if not isinstance(group, h5py.Group):
            return {}
        found = {name: item for name, item in group.items() if isinstance(item, h5py.Dataset) and item.size == 1}
        return {name: (_value(item[()]), text_of(item.attrs.get("units", ""))) for name, item in found.items()}

    def _array(self, name: str, dtype: type[Any], part: Sequence[slice] | None = None) -> NDArray[Any] | None:
        """Give a numeric array below ``/entry``, or a part of it; None where it is missing or no numbers."""
        found = self._file.get(f"entry/{name}")
        if not isinstance(found, h5py.Dataset) or found.shape is None or found.dtype.kind not in "buifc":
            return None
        try:
            return np.asarray(found[() if part is None else tuple(part)]).astype(dtype, copy=False)
        except OSError as error:
            raise InputError(f"/entry/{name} in {self.path} can't be read: the file is damaged or cut off.") from error

    def _attribute(self, group_name: str, name: str) -> Any:
        group = self._file.get(f"entry/{group_name}")
        return group.attrs.get(name) if group is not None else None


def is_ptychography(path: Path) -> bool:
    """Say whether a result holds an object, and so is one of ptychography.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    with Entry(path) as entry:
        return PTYCHOGRAPHY in entry._file


def text_of(value: Any) -> str:
    """Give a text as HDF5 has it, bytes or str, as str."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _value(value: Any) -> Any:
    if isinstance(value, bytes | str):
        return text_of(value)
    first = np.asarray(value).reshape(-1)[0]
    return text_of(first) if isinstance(first, bytes | str) else first.item()
