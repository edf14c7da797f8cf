"""SIGINT and SIGTERM as exceptions, held back during critical sections."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """Exception of SIGTERM, raised wherever Ctrl-C raises ``KeyboardInterrupt``."""


_ERRORS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


class _State:
    active = False
    holding = False
    received: signal.Signals | None = None


def exit_code(error: KeyboardInterrupt) -> int:
    """Exit code of a program that a signal stopped, as a shell has it: 130 after SIGINT, 143 after SIGTERM."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[None]:
    """Context in which SIGINT raises ``KeyboardInterrupt`` and SIGTERM raises :class:`Terminated`.

    A library that answers a signal with ``sys.exit``, as Lightning does, is overruled. A signal that this process
    ignores stays ignored, and outside the main thread, where Python handles no signals, none is taken over.

    Raises:
        KeyboardInterrupt: when one of the signals arrives.
        RuntimeError: if a library calls ``sys.exit`` for another reason.
    """
    if _State.active or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    _State.active, _State.received = True, None
    try:
        take_over()
        yield
    except SystemExit as error:
        stopped_by = _signal_behind(error)
        if stopped_by is None:
            raise RuntimeError(f"a library ended the program (exit code {error.code})") from error
        raise _ERRORS[stopped_by] from None
    finally:
        _State.active = False
        for number, handler in before.items():
            if handler is not None:  # None: a handler that was not installed from Python, which cannot be put back
                signal.signal(number, handler)


def take_over() -> None:
    """Install the handlers of :func:`stop_signals` again, after a library has put its own in their place."""
    if not _State.active:
        return
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


@contextmanager
def held() -> Iterator[None]:
    """Context that holds a stop signal back until :func:`raise_received` or its end; a second one is raised at once."""
    with stop_signals():
        _State.holding = True
        try:
            yield
        finally:
            _State.holding = False
        raise_received()


def received() -> signal.Signals | None:
    """Stop signal that is held back; None without one."""
    return _State.received


def raise_received(number: signal.Signals | None = None) -> None:
    """Raise the error of the signal that is held back, or of ``number``; do nothing if there is none."""
    number = number or _State.received
    _State.received = None
    if number is not None:
        raise _ERRORS[number]


def ignore_stop_signals() -> None:
    """Ignore stop signals in a worker process, whose parent handles them."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _handle(number: int, _: FrameType | None) -> None:
    if _State.holding and _State.received is None:
        _State.received = signal.Signals(number)
        # Past the buffers of sys.stderr, in the middle of whose work a handler may run.
        os.write(2, b"\nstopping as soon as the state can be saved; once more to stop at once\n")
        return
    raise _ERRORS[signal.Signals(number)]


def _signal_behind(error: SystemExit) -> signal.Signals | None:
    """The signal that made a library call ``sys.exit``, if one did."""
    if _State.received is not None:
        return _State.received
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return signal.SIGTERM if isinstance(cause, Terminated) else signal.SIGINT
        cause = cause.__cause__ or cause.__context__
    codes = {code: number for number in STOP_SIGNALS for code in (int(number), 128 + number)}
    return codes.get(error.code) if isinstance(error.code, int) else None
