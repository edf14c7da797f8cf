"""Pages opened in the browser of whoever sits at this machine."""

from __future__ import annotations

import os
import sys
import webbrowser

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def open_page(address: str) -> None:
    """Open a page in a graphical browser; do nothing without a terminal or a screen.

    Nobody looks on in a script or in CI, and browsers in text would take the terminal over.
    """
    has_screen = not sys.platform.startswith("linux") or any(os.environ.get(name) for name in _SCREENS)
    if sys.stderr.isatty() and has_screen:
        webbrowser.open(address)
