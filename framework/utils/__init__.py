"""Functions that any floor may use, each file named by what is in it."""
