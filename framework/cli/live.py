"""``bfmkit live``: the page on which a person watches and teaches agents."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from bfmkit.cli.browser import open_page
from bfmkit.utils.errors import CommandError
from bfmkit.utils.stop_signals import stop_signals


def run(arguments: argparse.Namespace) -> int:
    """Open the page and stay until Ctrl-C or SIGTERM; what was learnt is saved then."""
    from bfmkit.live.server import PortError, require_free
    from bfmkit.utils.threads import pin_threads

    if arguments.run and (arguments.overrides or arguments.beside):
        raise CommandError("--run plays what was recorded; key=value and --beside go with a recipe")
    try:
        require_free(arguments.host, arguments.port)
    except PortError as error:
        raise CommandError(str(error)) from error
    # A step of one run is too little work for more.
    pin_threads(1)
    with stop_signals():
        return _play(arguments) if arguments.run else _teach(arguments)


def _teach(arguments: argparse.Namespace) -> int:
    from bfmkit.live.build import build_session
    from bfmkit.live.page import Page
    from bfmkit.live.serve import run_page
    from bfmkit.live.server import page_server

    out: Path = arguments.out or Path("runs") / f"live-{datetime.now():%Y%m%d-%H%M%S}"
    _require_writable(out)
    try:
        session = build_session(arguments.recipe, arguments.overrides, out, arguments.beside)
    except ValueError as error:
        raise CommandError(str(error)) from error
    with page_server(arguments.host, arguments.port) as server:
        page = Page(server, session, arguments.shared)
        _say_where(arguments, f"{arguments.recipe}, Ctrl-C saves what was learnt and ends")
        try:
            with suppress(KeyboardInterrupt):
                run_page(page)
        finally:
            for saved in session.save_all():
                sys.stderr.write(f"\nsaved {saved.record}\n  {saved.replay}\n  {saved.play}\n  {saved.reuse}\n")
    return 0


def _require_writable(out: Path) -> None:
    """Refuse a folder that nothing can be saved to, before anything is learnt."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise CommandError(f"--out {out}: cannot be written: {error.strerror or error}") from error


def _play(arguments: argparse.Namespace) -> int:
    from bfmkit.live.recorded import NoRecordingError, RecordedPage, Recording
    from bfmkit.live.server import page_server

    try:
        recording = Recording.load(arguments.run)
    except NoRecordingError as error:
        raise CommandError(str(error)) from error
    with page_server(arguments.host, arguments.port) as server:
        page = RecordedPage(server, recording)
        _say_where(arguments, f"{arguments.run}, Ctrl-C ends")
        with suppress(KeyboardInterrupt):
            page.run(lambda: False, time.sleep)
    return 0


def _say_where(arguments: argparse.Namespace, what: str) -> None:
    name = "localhost" if arguments.host in ("0.0.0.0", "127.0.0.1") else arguments.host
    address = f"http://{name}:{arguments.port}"
    sys.stderr.write(f"{address}   ({what})\n")
    if not arguments.no_browser:
        open_page(address)
