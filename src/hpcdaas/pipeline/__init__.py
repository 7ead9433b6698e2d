"""The way of the data: a raw file and a recipe become a result, a record, and a line in the catalogue."""

from hpcdaas.pipeline.options import Options, Watcher
from hpcdaas.pipeline.run import reconstruct

__all__ = ["Options", "Watcher", "reconstruct"]
