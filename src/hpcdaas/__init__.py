"""Raw scans of a photon source in, reconstructed and catalogued results out.

`reconstruct` is the whole way; `open_scan` looks at a raw file; `Recipe` and `Result` are what goes
in beside it and what comes out; `Site` has pools of workers, on a cluster or on this machine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from hpcdaas.cluster.notebook import Site
    from hpcdaas.errors import HpcdaasError, InputError, Interrupted
    from hpcdaas.io import open_scan
    from hpcdaas.pipeline import reconstruct
    from hpcdaas.recipe import Recipe, default_recipe, load_recipe
    from hpcdaas.result import Result
    from hpcdaas.scan import Scan, ScanTable

#: Where each public name lives: looked up when it is first used, so that importing hpcdaas stays cheap.
_HOMES = {
    "HpcdaasError": "errors",
    "InputError": "errors",
    "Interrupted": "errors",
    "Recipe": "recipe",
    "Result": "result",
    "Scan": "scan",
    "ScanTable": "scan",
    "Site": "cluster.notebook",
    "default_recipe": "recipe",
    "load_recipe": "recipe",
    "open_scan": "io",
    "reconstruct": "pipeline",
}

__all__ = [
    "HpcdaasError",
    "InputError",
    "Interrupted",
    "Recipe",
    "Result",
    "Scan",
    "ScanTable",
    "Site",
    "default_recipe",
    "load_recipe",
    "open_scan",
    "reconstruct",
]


if not TYPE_CHECKING:  # type checkers read the imports above

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return _version()
        if name not in _HOMES:
            raise AttributeError(f"module 'hpcdaas' has no attribute '{name}'")
        return getattr(importlib.import_module(f"hpcdaas.{_HOMES[name]}"), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and seldom asked for

    try:
        return version("hpcdaas")
    except PackageNotFoundError:  # a source tree that isn't installed
        return "0"
