"""The embedded catalogue behind SciCat's REST routes, and web pages to look at it."""
