"""Parameters are declared once, as pydantic models: default, bounds, unit, one line of help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hpcdaas.errors import InputError, nearest


class Parameters(BaseModel):
    """Base of all parameter models: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def to_si(value: Any, unit: str) -> float:
    """Read a quantity.

    Parameters
    ----------
    value : float or str
        A number, taken as it is (in `unit`), or a string such as ``"0.65 um"``.
    unit : str
        The unit of the answer: ``m``, ``eV``, ``s`` or ``degree``.

    Returns
    -------
    float
        The value in `unit`.

    Raises
    ------
    ValueError
        If the string can't be read or has another dimension.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        raise ValueError(f"a number or a quantity in {unit} is needed")
    try:
        read: Any = _registry().Quantity(value)
        return float(read.magnitude if read.unitless else read.to(unit).magnitude)
    except Exception as error:  # pint raises many kinds, tokenizer errors among them
        raise ValueError(f"'{value}' can't be read as a quantity in {unit}") from error


@cache
def _registry() -> Any:
    import pint  # 0.1 s to import: only where a unit is given

    return pint.UnitRegistry(cache_folder=None)


def _in(unit: str) -> BeforeValidator:
    return BeforeValidator(lambda value: to_si(value, unit))


Length = Annotated[float, _in("m"), Field(json_schema_extra={"unit": "m"})]
Energy = Annotated[float, _in("eV"), Field(json_schema_extra={"unit": "eV"})]
Time = Annotated[float, _in("s"), Field(json_schema_extra={"unit": "s"})]
Angle = Annotated[float, _in("degree"), Field(json_schema_extra={"unit": "degree"})]


def units(model: type[BaseModel]) -> dict[str, str]:
    """Give the units that a parameter model declares, by parameter; those without one are left out."""
    found = {}
    for name, schema in model.model_json_schema().get("properties", {}).items():
        for part in (schema, *schema.get("anyOf", ())):
            if "unit" in part:
                found[name] = str(part["unit"])
    return found


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> InputError:
    """Turn pydantic's first complaint into one line for people.

    Parameters
    ----------
    error : ValidationError
        What pydantic raised.
    where : str
        The table that is wrong, for example ``step 'fbp'``.
    model : type
        The model that refused, for the nearest known key.
    """
    first = error.errors()[0]
    *inner, last = first["loc"] or ("value",)
    owner = _model_at(model, inner)
    where = " ".join([where, *(f"[{part}]" if isinstance(part, str) else f"number {part + 1}" for part in inner)])
    if first["type"] == "extra_forbidden":
        return InputError(f"{where} has no parameter '{last}'.", nearest(str(last), owner.model_fields))
    if first["type"] == "missing":
        return InputError(f"{where} lacks '{last}'.")
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:  # what doesn't fit together is no fault of one value
        return InputError(f"{where}: {reason[0].lower()}{reason[1:]}.")
    given = first.get("input")
    shown = "not a number" if isinstance(given, float) and math.isnan(given) else repr(given)
    return InputError(f"{where}: {last} = {shown}: {reason[0].lower()}{reason[1:]}.")


def _model_at(model: type[BaseModel], inner: Sequence[str | int]) -> type[BaseModel]:
    """Give the model of a table within tables."""
    for part in inner:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            kinds = [field.annotation, *get_args(field.annotation)]
            model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)
    return model
