"""``bfmkit live``."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from datetime import datetime
from pathlib import Path

from bfmkit.cli.errors import Refused


def run(arguments: argparse.Namespace) -> int:
    """Open the page and stay until Ctrl-C; beliefs are saved then."""
    from bfmkit.live.build import build_session
    from bfmkit.live.page import Page
    from bfmkit.live.serve import run_page
    from bfmkit.live.server import PortTaken, page_server, require_free
    from bfmkit.utils.threads import pin_threads

    try:
        require_free(arguments.host, arguments.port)
        pin_threads(1)
        out: Path = arguments.out or Path("runs") / f"live-{datetime.now():%Y%m%d-%H%M%S}"
        session = build_session(arguments.recipe, arguments.overrides, out, arguments.beside)
    except (PortTaken, ValueError) as error:
        raise Refused(str(error)) from error
    with page_server(arguments.host, arguments.port) as server:
        page = Page(server, session, arguments.shared)
        address = (
            f"http://{'localhost' if arguments.host in ('0.0.0.0', '127.0.0.1') else arguments.host}:{arguments.port}"
        )
        sys.stderr.write(f"{arguments.recipe}: {address}   (Ctrl-C saves what was learnt, and ends)\n")
        if not arguments.no_browser:
            webbrowser.open(address)
        try:
            run_page(page)
        except KeyboardInterrupt:
            pass
        finally:
            for saved in session.save_all():
                sys.stderr.write(
                    f"\nsaved {saved.record}\n  works it out again: {saved.replay}\n  acts for it: {saved.reuse}\n"
                )
    return 0
