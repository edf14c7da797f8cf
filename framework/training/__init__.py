"""One training: its loop, its generators, its practice, over one process or several."""
