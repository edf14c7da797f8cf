"""Web server of the page: viser on one port of this machine."""

from __future__ import annotations

import contextlib
import errno
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import viser

from bfmkit.utils.errors import BfmkitError

LABEL = "bfmkit live"
LAST_PORT = 65535
PHONE_STYLE = """<style>@media (max-width: 36em) {
  .mantine-Paper-root[style*="bottom: 0"] { max-height: 38% !important; width: 100% !important; }
  .mantine-Paper-root[style*="bottom: 0"] [style*="width: 20em"] { width: 100% !important; }
}</style>"""
"""The panel of a phone, at the bottom, leaves the body in the middle in sight; viser's own limit is 60 %."""


class PortError(BfmkitError, OSError):
    """Error of a port that another program listens on."""


class PageServer(viser.ViserServer):
    """Viser server that cannot be shared through a third party's host."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Refuse: viser would open a tunnel to the Internet for whoever presses its button."""
        return None


def require_free(host: str, port: int) -> None:
    """Require a free port; viser would silently take the next one.

    Raises:
        PortError: if it is taken, or the address is none of this machine's.
    """
    if not 1 <= port <= LAST_PORT:
        raise PortError(f"port {port}: must be from 1 to {LAST_PORT}; choose another with --port")
    if not host:
        raise PortError("the host is empty; --host takes an address of this machine, such as 127.0.0.1")
    try:
        address_info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise PortError(f"host {host!r} has no address; --host takes one of this machine, such as 127.0.0.1") from error
    family, kind, protocol, _, address = address_info
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise PortError(f"{host} is no address of this machine; choose another with --host") from error
        is_taken = error.errno == errno.EADDRINUSE
        reason = "is taken, perhaps by another bfmkit live" if is_taken else f"fails: {error.strerror}"
        raise PortError(f"port {port} of {host} {reason}; choose another with --port") from error


@contextmanager
def page_server(host: str, port: int) -> Iterator[PageServer]:
    """Context of a running server, stopped at its end.

    Raises:
        PortError: if there is none to be had on that port.
    """
    require_free(host, port)
    # It prints a box of its own on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        server = PageServer(host=host, port=port, label=LABEL, verbose=False)
    try:
        server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        server.gui.add_html(PHONE_STYLE)
        yield server
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()
