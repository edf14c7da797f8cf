from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from bfmkit.utils import stop_signals
from bfmkit.utils.stop_signals import Terminated, exit_code, held, raise_received, received

ERRORS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
numbers = pytest.mark.parametrize("number", list(ERRORS))


@pytest.fixture(autouse=True)
def python_handles_interrupts() -> Iterator[None]:
    """A process in the background of a shell ignores SIGINT, and so would these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@numbers
def test_a_signal_is_an_error_with_the_shells_exit_code(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, stop_signals.stop_signals():
        send(number)
    assert type(caught.value) is ERRORS[number]
    assert exit_code(caught.value) == CODES[number]
    assert signal.getsignal(number) is before


@numbers
def test_a_held_signal_waits_and_a_second_one_does_not(number: signal.Signals, capfd) -> None:
    done = []

    def work(signals: int) -> None:
        with held():
            for _ in range(signals):
                send(number)
            assert received() == number
            done.append(signals)

    with pytest.raises(ERRORS[number]):
        work(1)
    assert "once more to stop at once" in capfd.readouterr().err
    with pytest.raises(ERRORS[number]):
        work(2)
    assert done == [1]
    with held():
        raise_received()
    assert received() is None


@numbers
def test_a_library_that_exits_on_a_signal_is_overruled(number: signal.Signals) -> None:
    def like_lightning() -> None:
        try:
            send(number)
        except KeyboardInterrupt:
            sys.exit(1)

    def like_ray() -> None:
        signal.signal(number, lambda code, frame: sys.exit(code))
        send(number)

    def by_its_own_handler() -> None:
        signal.signal(number, lambda code, frame: None)
        stop_signals.take_over()
        send(number)

    before = signal.getsignal(number)
    for library in (like_lightning, like_ray, by_its_own_handler):
        with pytest.raises(ERRORS[number]), stop_signals.stop_signals():
            library()
        assert signal.getsignal(number) is before


def test_a_library_that_exits_for_another_reason_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="a library ended the program .exit code 3"), stop_signals.stop_signals():
        sys.exit(3)


@numbers
def test_an_ignored_signal_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_signals.stop_signals():
            send(number)
            stop_signals.take_over()
            send(number)
    finally:
        signal.signal(number, before)


def test_nothing_is_taken_over_outside_the_main_thread() -> None:
    seen = []
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with held():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
