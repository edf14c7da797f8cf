"""Web server of the page: viser on one port of this machine."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import viser

from bfmkit.utils.errors import BfmkitError

LABEL = "bfmkit live"


class PortError(BfmkitError, OSError):
    """Another program listens on the port; the message says what to do."""


class PageServer(viser.ViserServer):
    """A viser server that cannot be shared through somebody else's host."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Refuse: viser would open a tunnel to the Internet for whoever presses its button."""
        return None


def require_free(host: str, port: int) -> None:
    """Refuse a port that somebody has; viser would take the next one without a word.

    Raises:
        PortError: if it is taken, or the address is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = "is taken, perhaps by another bfmkit live" if error.errno in (98, 48, 10048) else f"fails: {error}"
        raise PortError(f"port {port} of {host} {reason}; choose another with --port") from error


@contextmanager
def page_server(host: str, port: int) -> Iterator[PageServer]:
    """A running server; stopped at the end.

    Raises:
        PortError: if there is none to be had on that port.
    """
    require_free(host, port)
    # It prints a box of its own on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        server = PageServer(host=host, port=port, label=LABEL, verbose=False)
    try:
        server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        yield server
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()
