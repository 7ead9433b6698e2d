"""What ``[scan]`` points to: a path in the scan's file, another file, FILE:PATH, or the value itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.hdf5 import Tree, is_hdf5, units
from hpcdaas.io.units import factor

ANGLE_PATHS = ("/exchange/theta",)


@dataclass(frozen=True)
class Location:
    """A place for numbers or frames.

    Attributes
    ----------
    file : Path
        The file, or the folder of a TIFF series.
    path : str
        The path in it; "" for all of it.
    """

    file: Path
    path: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.path}" if self.path else str(self.file)


def locate(text: str, key: str, main: Path) -> Location:
    """Find what a value of the ``[scan]`` table points to.

    Parameters
    ----------
    text : str
        A path in `main`, a file (from the current folder or from that of `main`), or FILE:PATH.
    key : str
        The key, for the message.
    main : Path
        The scan's file.

    Raises
    ------
    InputError
        If it is neither.
    """
    if main.is_file() and is_hdf5(main):
        with Tree(main) as tree:
            if tree.get(text) is not None:
                return Location(main, text)
    name, _, inner = text.rpartition(":")
    for file, path in ((text, ""), (name, inner)):
        if not file:
            continue
        for candidate in (Path(file), main.parent / file):
            if candidate.exists() and (not path or (candidate.is_file() and is_hdf5(candidate))):
                return Location(candidate.absolute(), path)
    raise InputError(
        f"scan.{key} = '{text}' is neither a file nor a path in {main.name}.",
        "Give a file, a path in the scan's file, or FILE:PATH.",
    )


def read_angles(place: Location) -> tuple[NDArray[np.float64], list[Path]]:
    """Read angles in degrees from an HDF5, NumPy, text or CSV file.

    Returns
    -------
    angles : ndarray, (n,), float64
        Degrees.
    files : list of Path
        The files that hold them.

    Raises
    ------
    InputError
        If there are none.
    """
    if not place.file.is_file():
        raise InputError(f"scan.angles: {place.file} is no file.")
    if is_hdf5(place.file):
        return _angles_from_hdf5(place)
    if place.file.suffix == ".npy":
        try:
            return np.ravel(np.load(place.file, allow_pickle=False)).astype(np.float64), [place.file]
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"scan.angles: {place.file} is no NumPy file of numbers.") from error
    return _angles_from_text(place.file), [place.file]


def _angles_from_hdf5(place: Location) -> tuple[NDArray[np.float64], list[Path]]:
    with Tree(place.file) as tree:
        known = [path for path in tree.nodes if path.endswith("/rotation_angle")] if not place.path else []
        for path in (place.path, *ANGLE_PATHS, *known):
            dataset = tree.dataset(path) if path else None
            if dataset is not None:
                return in_degrees(tree.values(dataset), units(dataset), str(place)), tree.files
    raise InputError(f"scan.angles: {place} holds no angles.", "Say where: -s scan.angles=FILE:PATH.")


def _angles_from_text(path: Path) -> NDArray[np.float64]:
    numbers: list[list[float]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"scan.angles: {path} is neither text, nor NumPy, nor HDF5.") from error
    for line in lines:
        content = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        try:
            values = [float(word) for word in content]
        except ValueError as error:
            if not numbers:
                continue  # a heading
            raise InputError(f"scan.angles: '{line.strip()[:40]}' in {path} is no number.") from error
        if values:
            numbers.append(values)
    if len(numbers) > 1 and any(len(row) != 1 for row in numbers):
        raise InputError(f"scan.angles: {path} has several columns; one angle per line is needed.")
    if not numbers:
        raise InputError(f"scan.angles: {path} holds no numbers.")
    return np.array([value for row in numbers for value in row], np.float64)


def in_degrees(values: NDArray[Any], unit: str, where: str) -> NDArray[np.float64]:
    """Turn angles into degrees; without a unit they are in degrees.

    Raises
    ------
    InputError
        If the unit is no unit of an angle.
    """
    scale = factor(unit, "degree")
    if scale is None:
        raise InputError(f"{where}: '{unit}' is no unit of an angle.", "Give the angles with -s scan.angles=...")
    return np.ravel(values).astype(np.float64) * scale
