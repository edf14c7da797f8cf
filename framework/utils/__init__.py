"""Utilities that any folder may import, each file named by its content."""
