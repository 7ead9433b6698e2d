"""The C++ core. What it holds is in cpp/bind; it is called through `hpcdaas.backend.cpu` only."""

from typing import Any

def __getattr__(name: str) -> Any: ...
