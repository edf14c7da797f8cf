"""What commands raise when they will not start."""

from __future__ import annotations

from bfmkit.utils.errors import RefusedError


class CommandError(RefusedError):
    """Nothing has been done; the message says why, one line a problem."""
