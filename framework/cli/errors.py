"""What commands raise when they will not start."""

from __future__ import annotations


class Refused(Exception):
    """Nothing has been done; the message says why, one line a problem."""
