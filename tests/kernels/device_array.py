"""An array in a device's memory, as the host sees it: what lies in it is reached through the device alone.

It takes what CuPy's arrays take and refuses what they refuse: an array of the host beside it, functions that would
bring it to the host unasked, options that they don't know. So what runs on it keeps to the device's memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

#: NumPy's functions that CuPy has alike, ufuncs aside: those that are used.
FUNCTIONS = {np.empty_like, np.zeros_like, np.max, np.sum, np.swapaxes, np.vdot}
ATTRIBUTES = {"shape", "ndim", "dtype", "size", "nbytes", "flags", "real", "imag", "T"}
METHODS = {"astype", "conj", "copy", "fill", "item", "max", "min", "ravel", "reshape", "sum", "tolist", "view"}


class DeviceArray(NDArrayOperatorsMixin):
    """An array that kernels may be given.

    Parameters
    ----------
    memory : ndarray
        What the device has there.
    """

    #: Whether functions may run: while kernels are recorded, only views of arrays are made.
    may_change = True

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory

    def __getattr__(self, name: str) -> Any:
        if name in ATTRIBUTES:
            return there(getattr(self.memory, name))
        if name in METHODS:
            return lambda *inputs, **more: self._call(getattr(self.memory, name), inputs, more)
        raise AttributeError(f"an array of the device has no {name}")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Where it lies, for other libraries (Numba's interface, version 3)."""
        found: dict[str, Any] = dict(self.memory.__array_interface__)
        return {key: found[key] for key in ("shape", "typestr", "data", "strides")} | {"version": 3}

    def __len__(self) -> int:
        return len(self.memory)

    def __float__(self) -> float:
        return float(self.memory)

    def __bool__(self) -> bool:
        return bool(self.memory)

    def __getitem__(self, index: Any) -> Any:
        return there(self.memory[inside(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._check()
        self.memory[inside(index)] = inside(value)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("an array of the device comes to the host with get alone")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **more: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        if not out:
            return self._call(ufunc, inputs, more)
        self._call(ufunc, inputs, more | {"out": out})
        return out[0]

    def __array_function__(self, function: Any, types: Any, inputs: Any, more: Any) -> Any:
        if function not in FUNCTIONS:
            raise TypeError(f"{function.__name__} isn't known on the device")
        return self._call(function, inputs, more)

    def get(self) -> np.ndarray:
        """Give a copy on the host."""
        return self.memory.copy()

    @classmethod
    def _check(cls) -> None:
        if not cls.may_change:
            raise TypeError("what is recorded are kernels and transforms alone")

    @staticmethod
    def _call(function: Any, inputs: Any, more: Any) -> Any:
        DeviceArray._check()
        if "initial" in more:
            raise TypeError("the device knows no initial value")
        return there(function(*inside(inputs), **{name: inside(value) for name, value in more.items()}))


def there(value: Any) -> Any:
    """Give what came out: arrays, and numbers of NumPy's too, are in the device's memory."""
    return DeviceArray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def inside(value: Any) -> Any:
    """Give what goes in: no array of the host."""
    if isinstance(value, np.ndarray):
        raise TypeError("an array of the host beside one of the device")
    if isinstance(value, tuple | list):
        return type(value)(inside(one) for one in value)
    return value.memory if isinstance(value, DeviceArray) else value
