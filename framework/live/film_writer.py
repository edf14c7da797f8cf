"""Writer of films in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from bfmkit.live.film import Footage
from bfmkit.live.film_export import save_film
from bfmkit.utils.processes import Ended, Tell, in_processes


class FilmWriter:
    """Writes one film at a time, in another process: drawing takes seconds, and the page goes on meanwhile.

    A program that ends waits for the film that is being written.

    Args:
        done: is told the path of every film, and what went wrong, if anything did; called by another thread.
    """

    def __init__(self, done: Callable[[Path, str | None], None]) -> None:
        self._done = done
        self.is_busy = False
        """Whether a film is being written."""

    def write(self, path: Path, footage: Footage) -> None:
        """Begin to write a film, as :func:`~bfmkit.live.film_export.save_film` does."""
        self.is_busy = True
        threading.Thread(target=self._write, args=(path, footage)).start()

    def _write(self, path: Path, footage: Footage) -> None:
        messages = [message for _, message in in_processes([(path, footage)], _save, 1)]
        self.is_busy = False
        self._done(path, next(message.error for message in messages if isinstance(message, Ended)))


def _save(task: tuple[Path, Footage], _: Tell) -> None:
    save_film(*task)
