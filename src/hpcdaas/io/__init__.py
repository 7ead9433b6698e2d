"""Readers of raw scans, one file per format, and writers of results."""

from hpcdaas.io.describe import describe
from hpcdaas.io.detect import open_scan

__all__ = ["describe", "open_scan"]
