"""One training: its loop, its generators, its self-collection, over one process or several."""
