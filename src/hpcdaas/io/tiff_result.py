"""A result's slices as a TIFF stack, one file per slice, for programs that read nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py

from hpcdaas.safely import sync_folder


def stack_folder(result: Path) -> Path:
    """Give the folder of a result's TIFF stack: ``RESULT_tiff``."""
    return result.with_name(f"{result.stem}_tiff")


def write_stack(result: Path) -> Path:
    """Write the slices of a result as TIFF files beside it, in the type in which they are stored.

    The folder gets its name when it is whole; one that is there is replaced.

    Parameters
    ----------
    result : Path
        The result file.

    Returns
    -------
    Path
        The folder, with ``slice_00000.tif`` and on.

    Raises
    ------
    OSError
        If there is no room, or the place can't be written.
    """
    import tifffile

    folder = stack_folder(result)
    making = folder.with_name(folder.name + ".partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o2770)
    with h5py.File(result, "r") as file:
        data = file["entry/data/data"]
        run = file["entry/process/run"][()].decode()
        values = {name: float(data.attrs[name]) for name in ("scale", "offset") if name in data.attrs}
        for i in range(data.shape[0]):
            tifffile.imwrite(making / f"slice_{i:05d}.tif", data[i], metadata={"run": run, **values})
    shutil.rmtree(folder, ignore_errors=True)
    making.replace(folder)
    sync_folder(folder.parent)
    return folder


def is_stack_of(result: Path, run: str) -> bool:
    """Say whether the TIFF stack beside a result is that of a run."""
    import tifffile

    try:
        with tifffile.TiffFile(stack_folder(result) / "slice_00000.tif") as file:
            return bool(file.shaped_metadata and file.shaped_metadata[0].get("run") == run)
    except OSError:
        return False
