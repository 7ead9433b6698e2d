"""Values of metadata in SI beside those given: `valueSI` and `unitSI`, as SciCat adds them."""

from __future__ import annotations

import math
import re
from functools import cache, lru_cache
from typing import Any

#: Names with small exponents, multiplied or divided: whatever else stands there isn't given to the parser,
#: which computes powers.
_UNIT = re.compile(
    r"(?:1 ?/ ?)?[A-Za-zµμΩÅ°%_]+(?:(?:\*\*|\^)-?\d)?(?: ?[*/· ] ?[A-Za-zµμΩÅ°%_]+(?:(?:\*\*|\^)-?\d)?)*"
)
_LONGEST = 60


def with_si(metadata: Any) -> Any:
    """Add `valueSI` and `unitSI` to every ``{value, unit}`` whose unit is known.

    Parameters
    ----------
    metadata : JSON value
        Of a dataset's `scientificMetadata`; groups in groups are gone through.

    Returns
    -------
    JSON value
        A copy. What has an unknown unit, or none, passes as it is.
    """
    if isinstance(metadata, list):
        return [with_si(item) for item in metadata]
    if not isinstance(metadata, dict):
        return metadata
    value, unit = metadata.get("value"), metadata.get("unit")
    if isinstance(value, int | float) and not isinstance(value, bool) and isinstance(unit, str) and unit:
        converted = _convert(value, unit)
        return metadata | ({"valueSI": converted[0], "unitSI": converted[1]} if converted else {})
    return {key: with_si(item) for key, item in metadata.items()}


def warm_up() -> None:
    """Load the table of units, which takes half a second, before somebody waits for it."""
    _scale("m")


def _convert(value: float, unit: str) -> tuple[float, str] | None:
    scale = _scale(unit.strip())
    if scale is None:
        return None
    factor, offset, name = scale
    try:
        converted = float(value * factor + offset)
    except OverflowError:
        return None
    return (converted, name) if math.isfinite(converted) else None


@lru_cache(maxsize=1000)
def _scale(unit: str) -> tuple[float, float, str] | None:
    """Give factor, offset and name of the SI unit, or None if the unit isn't known."""
    if len(unit) > _LONGEST or not _UNIT.fullmatch(unit):
        return None
    registry = _registry()
    try:
        zero = registry.Quantity(0.0, unit).to_base_units()
        one = registry.Quantity(1.0, unit).to_base_units()
        return float(one.magnitude - zero.magnitude), float(zero.magnitude), f"{one.units:~C}"
    except Exception:  # the library raises many kinds, those of Python's tokenizer among them
        return None


@cache
def _registry() -> Any:
    import pint  # 0.1 s to import: only where a unit is met

    return pint.UnitRegistry(cache_folder=None)
