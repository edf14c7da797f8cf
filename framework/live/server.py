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
