"""Readers of raw scans, one file per format, and writers of results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcdaas.io.describe import describe
    from hpcdaas.io.detect import open_scan

__all__ = ["describe", "open_scan"]

if not TYPE_CHECKING:  # HDF5 takes long to import, and what only asks who holds a lease doesn't need it

    def __getattr__(name: str) -> Any:
        if name == "describe":
            from hpcdaas.io.describe import describe

            return describe
        if name == "open_scan":
            from hpcdaas.io.detect import open_scan

            return open_scan
        raise AttributeError(f"module 'hpcdaas.io' has no attribute '{name}'")
