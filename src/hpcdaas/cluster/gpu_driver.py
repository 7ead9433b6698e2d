"""The GPUs that this process may use, as NVIDIA's driver says: no toolkit, no CuPy."""

from __future__ import annotations

import ctypes

from hpcdaas.errors import HpcdaasError

#: Longest name of a device.
NAME = 256
#: Of cuInit: there is no device, or none that this process may see.
NO_DEVICE = 100


def devices() -> list[str]:
    """Give the names of the GPUs; empty where there is none.

    Returns
    -------
    list of str

    Raises
    ------
    HpcdaasError
        If there is no driver, or it doesn't work.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise HpcdaasError("no driver of NVIDIA (libcuda.so.1)") from None
    if not _did(driver, driver.cuInit(0)):
        return []
    number = ctypes.c_int()
    _did(driver, driver.cuDeviceGetCount(ctypes.byref(number)))
    return [_name(driver, index) for index in range(number.value)]


def _name(driver: ctypes.CDLL, index: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(NAME)
    _did(driver, driver.cuDeviceGet(ctypes.byref(device), index))
    _did(driver, driver.cuDeviceGetName(name, NAME, device))
    return name.value.decode(errors="replace")


def _did(driver: ctypes.CDLL, code: int) -> bool:
    """Say whether a call did what it should; False where there is no device.

    Raises
    ------
    HpcdaasError
        With the driver's words.
    """
    if code in (0, NO_DEVICE):
        return code == 0
    words = ctypes.c_char_p()
    driver.cuGetErrorString(code, ctypes.byref(words))
    raise HpcdaasError(f"the driver says: {(words.value or str(code).encode()).decode(errors='replace')}")
