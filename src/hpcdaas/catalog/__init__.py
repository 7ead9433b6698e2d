"""The catalogue: records of raw and derived datasets with SciCat's field names, and the stores that keep them."""
