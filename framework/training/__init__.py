"""Training: loop, random state, self-collection, one process or several."""
