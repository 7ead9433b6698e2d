"""From a folder that is watched to a run that can start."""
