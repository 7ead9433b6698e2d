"""Units that files write, read without loading a units library for the usual ones."""

from __future__ import annotations

import math

from hpcdaas.params import to_si

_FACTORS = {
    "m": {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "nm": 1e-9} | dict.fromkeys(("um", "µm", "μm", "micron", "microns"), 1e-6),
    "eV": {"ev": 1.0, "kev": 1e3, "mev": 1e6, "j": 1 / 1.602176634e-19},
    "s": {"s": 1.0, "sec": 1.0, "ms": 1e-3},
    "degree": {
        "": 1.0,
        "deg": 1.0,
        "degree": 1.0,
        "degrees": 1.0,
        "°": 1.0,
        "rad": math.degrees(1.0),
        "radian": math.degrees(1.0),
        "radians": math.degrees(1.0),
    },
}


def factor(unit: str, si: str) -> float | None:
    """Give what a number in `unit` is multiplied with to be in `si`.

    Parameters
    ----------
    unit : str
        As a file writes it.
    si : str
        ``m``, ``eV``, ``s`` or ``degree`` (where a number without unit is in degrees).

    Returns
    -------
    float or None
        None where `unit` is missing, unknown or of another dimension.
    """
    name = unit.strip().lower()
    known = _FACTORS[si].get(name)
    if known is not None or not name:
        return known
    try:
        return to_si(f"1 {unit.strip()}", si)
    except ValueError:
        return None
