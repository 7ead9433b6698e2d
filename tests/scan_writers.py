"""Writers that behave as detectors and copies do: files that are there long before they are whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

SHAPE = (12, 8, 10)
DATA = "entry/instrument/detector/data"


def counts(number: int, shape: tuple[int, int] = SHAPE[1:]) -> NDArray[Any]:
    """Make a frame that isn't empty."""
    return np.random.default_rng(number).integers(1, 1000, shape).astype("u2")


def lay_out(file: h5py.File, frames: int = SHAPE[0], **storage: Any) -> h5py.Dataset:
    """Lay out an NXtomo file without frames; `storage` as of ``create_dataset``."""
    file["entry/definition"] = "NXtomo"
    file["entry/instrument/detector/image_key"] = np.zeros(frames, "u1")
    file["entry/sample/rotation_angle"] = np.linspace(0, 180, frames)
    file["entry/planned"] = frames
    return file.create_dataset(DATA, (frames, *SHAPE[1:]), "u2", **storage)


def write_scan(path: Path, frames: int = SHAPE[0], chunked: bool = False) -> Path:
    """Write a whole scan at once."""
    with h5py.File(path, "w") as file:
        data = lay_out(file, frames, **({"chunks": (1, *SHAPE[1:])} if chunked else {}))
        for number in range(frames):
            data[number] = counts(number)
    return path


def preallocated(path: Path, fill: int = 0, chunked: bool = False) -> Path:
    """Lay out a file that has its full size before its first frame."""
    storage = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    storage.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    storage.set_fill_value(np.array(fill, "u2"))
    if chunked:
        storage.set_chunk((1, *SHAPE[1:]))
    with h5py.File(path, "w") as file:
        lay_out(file)
        del file[DATA]
        name, kind = DATA.encode(), h5py.h5t.py_create(np.dtype("u2"))
        h5py.h5d.create(file.id, name, kind, h5py.h5s.create_simple(SHAPE), storage)
    return path


def put(path: Path, number: int, frame: NDArray[Any] | None = None) -> None:
    """Write one frame into a file that is there, and close it."""
    with h5py.File(path, "r+") as file:
        file[DATA][number] = counts(number) if frame is None else frame


def eiger_master(folder: Path, files: int = 3, images: int = 12) -> Path:
    """Write a master as the detector does when it is armed: it links to files that will come."""
    path = folder / "s_master.h5"
    with h5py.File(path, "w") as file:
        file["entry/definition"] = "NXmx"
        for number in range(1, files + 1):
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(f"s_data_{number:06d}.h5", "/entry/data/data")
        specific = file.create_group("entry/instrument/detector/detectorSpecific")
        specific["nimages"], specific["ntrigger"] = images, 1
    return path


def eiger_data(folder: Path, number: int, images: int = 4) -> Path:
    """Write a file of frames of an Eiger."""
    path = folder / f"s_data_{number:06d}.h5"
    with h5py.File(path, "w") as file:
        shape = (images, *SHAPE[1:])
        data = file.create_dataset("entry/data/data", shape, "u2", chunks=(1, *SHAPE[1:]), compression="gzip")
        for image in range(images):
            data[image] = counts(image)
    return path


@contextmanager
def swmr_writer(path: Path, frames: int = SHAPE[0]) -> Iterator[Callable[[], None]]:
    """Hold a file open as a writer does that lets others read; each call adds a frame."""
    with h5py.File(path, "w", libver="latest") as file:
        room = (None, *SHAPE[1:])
        data = lay_out(file, frames, maxshape=room, chunks=(1, *SHAPE[1:]))
        data.resize(0, axis=0)
        file.swmr_mode = True

        def add() -> None:
            data.resize(data.shape[0] + 1, axis=0)
            data[-1] = counts(data.shape[0])
            data.flush()

        yield add


@contextmanager
def in_background(steps: Callable[..., Iterator[None]], seconds: float, number: int, *arguments: Any) -> Iterator[Path]:
    """Take steps in a process, spread over some seconds; the file that is given holds when the last one began."""
    with TemporaryDirectory() as folder:
        clock = Path(folder) / "clock"
        process = get_context("spawn").Process(target=_run, args=(steps, seconds / number, clock, arguments))
        process.start()
        try:
            yield clock
            process.join(seconds + 30)
            assert process.exitcode == 0
        finally:
            process.kill()
            process.join()


def _run(steps: Callable[..., Iterator[None]], pause: float, clock: Path, arguments: tuple[Any, ...]) -> None:
    walk = steps(*arguments)
    while True:
        clock.write_text(str(time.monotonic()))
        if next(walk, "end") == "end":
            return
        time.sleep(pause)


def filling(path: Path) -> Iterator[None]:
    """Fill a preallocated file frame by frame."""
    for number in range(SHAPE[0]):
        put(path, number)
        if number < SHAPE[0] - 1:
            yield


def arriving(folder: Path, order: tuple[int, ...]) -> Iterator[None]:
    """Let the files of an Eiger come."""
    for number in order:
        yield
        eiger_data(folder, number)


def copying(source: Path, target: Path, pieces: int = 10) -> Iterator[None]:
    """Copy as ``cp`` does: the name is there at once, the bytes come one after the other."""
    content = source.read_bytes()
    step = -(-len(content) // pieces)
    with target.open("wb") as file:
        for start in range(0, len(content), step):
            yield
            file.write(content[start : start + step])
            file.flush()
