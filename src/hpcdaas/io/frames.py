"""Lazy stacks of detector frames, and stacks made of stacks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

#: Rows closer than this many bytes are read with what lies between them: one call costs about as much.
GAP = 16 << 10
#: Bytes that such a read may hold beside its output.
SCRATCH = 16 << 20


@dataclass(frozen=True)
class Storage:
    """How frames are stored, for ``inspect`` and for planning.

    Attributes
    ----------
    kind : str
        ``contiguous``, ``chunked``, ``compressed``, ``virtual``, ``memory`` or ``constant``.
    chunk : tuple of int or None
        Shape of a chunk (frames, rows, columns).
    filters : tuple of str
        Names of the filters that a chunk went through.
    """

    kind: str
    chunk: tuple[int, ...] | None = None
    filters: tuple[str, ...] = ()


class Stack:
    """What all stacks share; `hpcdaas.scan.Frames` says what each attribute is.

    Parameters
    ----------
    shape : tuple of int
        (frames, rows, columns).
    dtype : numpy.dtype
        As stored; read in native byte order.
    storage : Storage
        How it is stored.
    whole_frames : bool, optional
        Whether every read decodes whole frames.
    """

    def __init__(
        self, shape: tuple[int, int, int], dtype: np.dtype[Any], storage: Storage, whole_frames: bool = False
    ) -> None:
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.storage = storage
        self.whole_frames = whole_frames

    def read(self, frames: slice, rows: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read ``[frames, rows]``, all columns; see `hpcdaas.scan.Frames.read`."""
        first, stop, step = frames.indices(self.shape[0])
        wanted = range(*rows.indices(self.shape[1]))
        if step != 1 or wanted.step < 1:
            raise ValueError("frames are read with step 1 and rows with a positive step")
        shape = (max(0, stop - first), len(wanted), self.shape[2])
        if out is None:
            out = np.empty(shape, self.dtype)
        elif out.shape != shape or out.dtype != self.dtype:
            raise ValueError(f"out is {out.shape} {out.dtype}, but {shape} {self.dtype} is read")
        if out.size:
            self._fill(first, stop, range(wanted[0], wanted[-1] + 1, wanted.step), out)
        return out

    def _fill(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        """Fill `out` with frames first to stop; nothing is empty, and `rows` ends after its last row."""
        raise NotImplementedError

    def _close_rows(self, rows: range) -> bool:
        """Say whether rows are better read together with those between them."""
        return rows.step > 1 and (rows.step - 1) * self.shape[2] * self.dtype.itemsize < GAP

    def _fill_dense(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        """Read close rows together with those between them, and pick."""
        span = slice(rows.start, rows.stop)
        batch = max(1, SCRATCH // (len(range(self.shape[1])[span]) * self.shape[2] * self.dtype.itemsize))
        for start in range(first, stop, batch):
            end = min(stop, start + batch)
            out[start - first : end - first] = self.read(slice(start, end), span)[:, :: rows.step]

    def take(self, index: NDArray[np.intp]) -> Stack:
        """Give the stack of the frames with these indices."""
        if np.array_equal(index, np.arange(self.shape[0])):
            return self
        return Selected(self, index)

    def unwritten(self) -> NDArray[np.intp]:
        """Give the indices of frames that have room in the file but were never written and would read as zeros."""
        return np.empty(0, np.intp)

    def close(self) -> None:
        """Close what is open; a later read opens it again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Selected(Stack):
    """Some frames of another stack."""

    def __init__(self, base: Stack, index: NDArray[np.intp]) -> None:
        super().__init__((len(index), *base.shape[1:]), base.dtype, base.storage, base.whole_frames)
        self._base = base
        self._index = index

    def _fill(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        index = self._index[first:stop]
        edges = [0, *(np.flatnonzero(np.diff(index) != 1) + 1).tolist(), len(index)]
        for a, b in itertools.pairwise(edges):
            begin = int(index[a])
            self._base.read(slice(begin, begin + b - a), slice(rows.start, rows.stop, rows.step), out[a:b])

    def take(self, index: NDArray[np.intp]) -> Stack:
        """See `Stack.take`."""
        return self._base.take(self._index[index])

    def unwritten(self) -> NDArray[np.intp]:
        """See `Stack.unwritten`."""
        return np.flatnonzero(np.isin(self._index, self._base.unwritten()))

    def close(self) -> None:
        """See `Stack.close`."""
        self._base.close()


class Joined(Stack):
    """Stacks of the same frame size one after the other, for example darks before and after."""

    def __init__(self, parts: Sequence[Stack]) -> None:
        first = parts[0]
        shape = (sum(part.shape[0] for part in parts), *first.shape[1:])
        dtype = np.result_type(*(part.dtype for part in parts))
        super().__init__(shape, dtype, first.storage, any(part.whole_frames for part in parts))
        self._parts = tuple(parts)

    def _fill(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        start = 0
        for part in self._parts:
            a, b = max(first - start, 0), min(stop - start, part.shape[0])
            if a < b:
                target = out[a + start - first : b + start - first]
                same = part.dtype == self.dtype
                read = part.read(slice(a, b), slice(rows.start, rows.stop, rows.step), target if same else None)
                if not same:
                    target[...] = read
            start += part.shape[0]

    def unwritten(self) -> NDArray[np.intp]:
        """See `Stack.unwritten`."""
        starts = np.cumsum([0, *(part.shape[0] for part in self._parts[:-1])])
        return np.concatenate([part.unwritten() + at for part, at in zip(self._parts, starts, strict=True)])

    def close(self) -> None:
        """See `Stack.close`."""
        for part in self._parts:
            part.close()


class Memory(Stack):
    """Frames that are in memory already: small ones, and one value for all pixels."""

    def __init__(self, array: NDArray[Any], kind: str = "memory") -> None:
        super().__init__(array.shape, array.dtype, Storage(kind))
        self._array = array

    @classmethod
    def constant(cls, value: float, shape: tuple[int, int]) -> Memory:
        """Give one frame (rows, columns) of one value, float32, that takes no memory."""
        return cls(np.broadcast_to(np.float32(value), (1, *shape)), "constant")

    def _fill(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        out[...] = self._array[first:stop, rows.start : rows.stop : rows.step]
