"""What becomes of a record: delivered, waiting, or held; and the errors that say so."""

from __future__ import annotations

from dataclasses import dataclass

from hpcdaas.errors import HpcdaasError


class NotYet(HpcdaasError):
    """The catalogue doesn't take it now; the same call may work later, or once something is set."""

    code = "waits"


class Unreachable(NotYet):
    """The catalogue is away or busy: nothing else can be delivered to it now, either."""


class Uncertain(Unreachable):
    """The connection was lost: the server may have done it or not."""


class Refused(HpcdaasError):
    """Somebody has to look at it: the same call gives the same answer again."""

    code = "held"


@dataclass(frozen=True)
class Delivered:
    """The catalogue has it: `pid` of the dataset."""

    pid: str


@dataclass(frozen=True)
class Waiting:
    """It is tried again; `reason`: one or two lines. `away`: whether the catalogue can't be reached at all."""

    reason: str
    away: bool = False


@dataclass(frozen=True)
class Held:
    """An operator has to look at it; `reason`: one or two lines."""

    reason: str


Outcome = Delivered | Waiting | Held
