"""Who does a run, when, and what follows from how it ended."""
