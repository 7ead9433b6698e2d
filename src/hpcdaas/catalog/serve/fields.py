"""Types of the fields in SciCat's documents: what it accepts and what not."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

#: Characters that keys of metadata must not hold.
FORBIDDEN = set(".$[]<>")

#: The largest integer that JavaScript, and so SciCat, holds exactly.
_LARGEST = 2**53 - 1

_EMAIL = re.compile(r"[^@\s;]+@[^@\s;]+")


class Body(BaseModel):
    """Base of all bodies: an unknown field or another type is refused; a null counts as not given."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """Give the fields that were sent, without nulls."""
        return self.model_dump(exclude_unset=True, exclude_none=True)


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a valid ISO 8601 date string") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _emails(text: str) -> str:
    if not all(_EMAIL.fullmatch(part.strip()) for part in text.split(";")):
        raise ValueError("must be an email, or several with semicolons between them")
    return text


def _without_forbidden_keys(value: dict[str, Any]) -> dict[str, Any]:
    _check_keys(value)
    return value


def _check_keys(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    if isinstance(value, list):
        for item in value:
            _check_keys(item)
    if isinstance(value, dict):
        for key, item in value.items():
            if FORBIDDEN & set(key):
                raise ValueError(f"the key {key[:80]!r} holds one of the characters . $ [ ] < >")
            _check_keys(item)


Text = Annotated[str, StringConstraints(min_length=1, pattern=r"[^\x00]")]
#: ISO 8601; kept as UTC with milliseconds and Z.
Moment = Annotated[str, AfterValidator(_moment), Field(json_schema_extra={"format": "date-time"})]
Emails = Annotated[str, AfterValidator(_emails)]
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Metadata = Annotated[dict[str, Any], AfterValidator(_without_forbidden_keys)]
