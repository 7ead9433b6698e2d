"""Copies between host and GPU while others work: through pinned memory, on streams of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hpcdaas.backend.cuda import CudaDevice


def hand_over(pieces: Iterable[NDArray[Any]], slots: tuple[Inbound, Inbound]) -> Iterator[Any]:
    """Give pieces on the device, of which the next one is under way."""
    before: Inbound | None = None
    for number, piece in enumerate(pieces):
        slot = slots[number % 2]
        slot.begin(piece)
        if before is not None:
            yield from before.hand()
        before = slot
    if before is not None:
        yield from before.hand()


class Inbound:
    """Room for one piece on its way to the device."""

    def __init__(self, device: CudaDevice) -> None:
        self._device, self._stream = device, device.copies_in
        self._copied, self._used = (device.xp.cuda.Event(disable_timing=True) for _ in range(2))
        self._host: NDArray[Any] | None = None
        self._there: Any = None

    def begin(self, piece: NDArray[Any]) -> None:
        """Start to copy a piece, row by row where its rows lie apart, as soon as the one before isn't needed."""
        self._copied.synchronize()
        if self._there is None or self._there.shape != piece.shape or self._there.dtype != piece.dtype:
            self._used.synchronize()
            self._there, self._host = self._device.empty(piece.shape, piece.dtype), None
            self._device.xp.cuda.get_current_stream().synchronize()  # its memory may have been another array's
        if not (_by_rows(piece) and self._device.is_pinned(piece)):
            if self._host is None:
                self._host = self._device.pinned(piece.shape, piece.dtype)
            np.copyto(self._host, piece)
            piece = self._host
        self._stream.wait_event(self._used)
        runtime, width = self._device.xp.cuda.runtime, piece[0].nbytes
        runtime.memcpy2DAsync(
            self._there.data.ptr, width, piece.ctypes.data, piece.strides[0], width, len(piece),
            runtime.memcpyHostToDevice, self._stream.ptr,
        )  # fmt: skip
        self._copied.record(self._stream)

    def hand(self) -> Iterator[Any]:
        """Give the piece to who works on the current stream."""
        now = self._device.xp.cuda.get_current_stream()
        now.wait_event(self._copied)
        yield self._there
        self._used.record(now)


class Outbound:
    """Arrays on their way to the host while the next are computed."""

    def __init__(self, device: CudaDevice) -> None:
        self._device, self._stream = device, device.copies_out
        self._under_way: list[tuple[Any, Any, NDArray[Any], NDArray[Any]]] = []

    def send(self, array: Any, out: NDArray[Any]) -> None:
        """Copy an array to the host; it belongs to the copy from now on."""
        now, event = self._device.xp.cuda.get_current_stream(), self._device.xp.cuda.Event(disable_timing=True)
        direct = out.flags.c_contiguous and self._device.is_pinned(out)
        here = out if direct else self._device.pinned(array.shape, array.dtype)
        self._stream.wait_event(now.record())
        array.get(stream=self._stream, out=here, blocking=False)
        event.record(self._stream)
        self._under_way.append((event, array, here, out))
        if len(self._under_way) > 1:
            self._arrive()

    def finish(self) -> None:
        """Wait for all."""
        while self._under_way:
            self._arrive()

    def _arrive(self) -> None:
        event, _, here, out = self._under_way.pop(0)
        event.synchronize()
        if here is not out:
            np.copyto(out, here)


def _by_rows(piece: NDArray[Any]) -> bool:
    """Say whether what belongs to one index of the first axis lies together."""
    return bool(len(piece) and piece[0].flags.c_contiguous and piece.strides[0] >= piece[0].nbytes)
