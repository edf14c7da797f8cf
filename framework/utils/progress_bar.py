"""Progress of a job: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class ProgressBar:
    """Progress bar of a job: steps, rate, time left, and a few numbers.

    ``with ProgressBar("collect", total=10_000, unit="transitions") as bar: bar.advance(100, reward=0.3)``

    Args:
        title: what is going on.
        total: the number of steps until it is done; None where nobody knows.
        unit: what a step is, in the plural.
        done: steps that an earlier run has done already; they do not count for the rate.
        every: seconds between two lines where there is no terminal.
        stream: where to; standard error unless said.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        unit: str = "steps",
        done: int = 0,
        every: float = 10.0,
        stream: TextIO | None = None,
    ) -> None:
        self.title, self.total, self.unit, self.done, self._started_with = title, total, unit, done, done
        self._every, self._stream = every, stream
        self._said: int | None = None
        self._numbers: dict[str, float | str] = {}
        self._start = self._last_line = time.monotonic()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        self._start = self._last_line = time.monotonic()
        stream = self._stream or sys.stderr
        if stream.isatty():
            self._open_bar(stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._show()
            self._bar.stop()
            self._bar = None
        elif kind is None and self._said != self.done:
            self._line()

    def advance(self, steps: int = 1, **numbers: float | str) -> None:
        """Count ``steps`` more, and show the latest of some numbers."""
        self.done += steps
        self._numbers.update(numbers)
        if self._bar is not None:
            self._show()
        elif time.monotonic() - self._last_line >= self._every:
            self._line()

    def say(self, text: str) -> None:
        """Write a line that stays: above the bar on a terminal, among the plain lines elsewhere."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
            return
        stream = self._stream or sys.stderr
        stream.write(text + "\n")
        stream.flush()

    def rate(self) -> float:
        """Rate in steps a second since the start."""
        return (self.done - self._started_with) / max(time.monotonic() - self._start, 1e-9)

    def text(self) -> str:
        """The plain line: ``collect: 1,200/10,000 transitions, 340/s, 0:26 left, reward 0.3``."""
        count = f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"
        parts = [f"{count} {self.unit}"]
        rate = self.rate()
        if rate > 0:
            parts.append(f"{_short(rate)}/s")
        if self.total is not None and rate > 0 and self.done < self.total:
            parts.append(f"{_clock((self.total - self.done) / rate)} left")
        parts += [f"{name.replace('_', ' ')} {_short(value)}" for name, value in self._numbers.items()]
        return f"{self.title}: {', '.join(parts)}"

    def _line(self) -> None:
        self._last_line = time.monotonic()
        self._said = self.done
        stream = self._stream or sys.stderr
        stream.write(self.text() + "\n")
        stream.flush()

    def _open_bar(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
        self._bar = RichProgress(*columns, console=Console(file=stream), refresh_per_second=4)
        self._task = self._bar.add_task(self.text(), total=self.total, completed=self.done)
        self._bar.start()

    def _show(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, description=self.text())


def _short(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
