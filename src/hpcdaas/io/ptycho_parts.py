"""Masks, probes, darks and numbers of ptychographic files, brought to one form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.frames import Stack
from hpcdaas.io.hdf5 import Tree, quantity, text, units
from hpcdaas.io.hdf5_frames import stack_of
from hpcdaas.io.units import factor
from hpcdaas.scan import PLANCK_LIGHT

#: Frames of masks and darks read at once.
BATCH = 64
#: No photons for ptychography have more, eV; electrons of storage rings do.
RING = 1e6


def flagged(tree: Tree, dataset: h5py.Dataset, harmless: int = 0, good_is_zero: bool = True) -> NDArray[np.bool_]:
    """Read a mask of which 0 is good, or of which 0 is bad.

    Parameters
    ----------
    tree : Tree
        The open file.
    dataset : Dataset
        (row, column), or one for each frame (frame, row, column): bad in one frame is bad in all.
    harmless : int, optional
        Bits that say nothing bad.
    good_is_zero : bool, optional
        False for weights, of which 0 is bad.

    Returns
    -------
    ndarray, (row, column), bool
        True where the pixel is good.

    Raises
    ------
    InputError
        If it is no stack of images.
    """
    if dataset.ndim == 2 or dataset.dtype.kind == "b" or dataset.ndim > 3:
        values = tree.values(dataset)
        if values.ndim < 2:
            raise InputError(f"{dataset.name} in {dataset.file.filename} is no mask: its shape is {values.shape}.")
        return _good(values.reshape(-1, *values.shape[-2:]), harmless, good_is_zero)
    stack = stack_of(tree, dataset)
    good = np.ones(stack.shape[1:], bool)
    for start in range(0, stack.shape[0], BATCH):
        good &= _good(stack.read(slice(start, min(start + BATCH, stack.shape[0])), slice(None)), harmless, good_is_zero)
    return good


def _good(values: NDArray[Any], harmless: int, good_is_zero: bool) -> NDArray[np.bool_]:
    if values.dtype.kind in "iu" and harmless:
        values = values.astype(np.int64) & ~harmless
    good: NDArray[np.bool_] = ((values == 0) == good_is_zero).all(axis=0)
    return good


def probe_of(tree: Tree, dataset: h5py.Dataset) -> NDArray[np.complex64]:
    """Read a probe.

    Parameters
    ----------
    tree : Tree
        The open file.
    dataset : Dataset
        (..., y, x), complex, or a compound of a real and an imaginary part.

    Returns
    -------
    ndarray, (mode, y, x), complex64

    Raises
    ------
    InputError
        If it is no complex image, or not finite.
    """
    where = f"{dataset.name} in {dataset.file.filename}"
    names = dataset.dtype.names or ()
    if dataset.dtype.kind not in "cf" and len(names) != 2:
        raise InputError(f"The probe {where} is no complex image: its type is {dataset.dtype}.")
    try:
        raw = np.asarray(dataset[()])
    except OSError as error:
        raise InputError(f"{where} can't be read: {error}.") from error
    values = raw[names[0]] + 1j * raw[names[1]] if names else raw
    if values.ndim < 2 or not np.isfinite(values).all():
        what = f"its shape is {values.shape}" if values.ndim < 2 else "it isn't finite"
        raise InputError(f"The probe {where} can't be used: {what}.", "Leave it out: -s scan.paths.probe=none.")
    probe: NDArray[np.complex64] = values.reshape(-1, *values.shape[-2:]).astype(np.complex64)
    return probe


def mean_of(stack: Stack) -> NDArray[np.float32]:
    """Give the mean frame of a small stack (row, column), float32, summed in float64."""
    total = np.zeros(stack.shape[1:], np.float64)
    for start in range(0, stack.shape[0], BATCH):
        total += stack.read(slice(start, min(start + BATCH, stack.shape[0])), slice(None)).sum(axis=0, dtype=np.float64)
    return (total / stack.shape[0]).astype(np.float32)


def first_length(tree: Tree, places: Iterable[str], default: str, notes: list[str]) -> float | None:
    """Give the first length, m, that one of these places holds; what isn't used goes to `notes`."""
    for node in map(tree.peek, places):
        if isinstance(node, h5py.Dataset):
            value, note = quantity(node, "m", default)
            if value is not None:
                return value
            notes.append(note)
    return None


def first_energy(tree: Tree, places: Iterable[str], notes: list[str]) -> float | None:
    """Give the first photon energy, eV, of these places.

    Without a unit an energy below 1e-10 is in J (as CXI says), one up to 200 in keV, a higher one in eV, and
    `notes` say so. A place whose name holds ``wavelength`` is in m, or in angstrom above 1e-6.
    """
    for place in places:
        node = tree.peek(place)
        if not isinstance(node, h5py.Dataset):
            continue
        value, note = _energy(node, "wavelength" in place.lower(), notes)
        if value is not None and value <= RING:
            return value
        notes.append(note or f"{place} = {value:.4g} eV is the energy of a machine and is not used")
    return None


def _energy(node: h5py.Dataset, wavelength: bool, notes: list[str]) -> tuple[float | None, str]:
    if wavelength:
        unit = units(node)
        if unit.strip() in ("A", "Å"):  # no wavelength is in ampere
            value, note = plain(node)
            return (PLANCK_LIGHT / (value * 1e-10), "") if value else (None, note)
        value, note = quantity(node, "m", "m")
        if value is not None and not unit and value > 1e-6:
            notes.append(f"{node.name} = {value:g} has no unit and is taken as angstrom")
            value *= 1e-10
        return (PLANCK_LIGHT / value, "") if value else (None, note)
    if factor(units(node), "eV") is not None:
        return quantity(node, "eV")
    if units(node):
        return quantity(node, "eV")
    value, note = plain(node)
    if value is None:
        return None, note
    unit = "J" if value < 1e-10 else "keV" if value <= 200 else "eV"
    if unit != "J":
        notes.append(f"{node.name} = {value:g} has no unit and is taken as {unit}")
    return value * (factor(unit, "eV") or 1.0), ""


def plain(node: h5py.Dataset) -> tuple[float | None, str]:
    """Read one positive number whatever its unit; None and why where there is none."""
    try:
        numbers = np.asarray(float(text(node)) if text(node) else node[()], np.float64).ravel()
    except (ValueError, TypeError, OSError):
        return None, f"{node.name} is no number and is not used"
    numbers = numbers[np.isfinite(numbers) & (numbers > 0)]
    if not numbers.size or np.ptp(numbers) > 1e-3 * numbers[0]:
        return None, f"{node.name} holds no single positive number and is not used"
    return float(numbers[0]), ""


def texts(tree: Tree, places: dict[str, Iterable[str]]) -> dict[str, Any]:
    """Give the metadata that these places hold."""
    found = {}
    for name, where in places.items():
        words = next(filter(None, (text(tree.peek(place)) for place in where)), "")
        if words:
            found[name] = words
    return found
