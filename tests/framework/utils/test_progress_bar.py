from __future__ import annotations

import io

import pytest

from bfmkit.utils import progress_bar
from bfmkit.utils.progress_bar import ProgressBar


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_bar, "time", clock)
    return clock


def test_a_plain_line_now_and_then(clock: Clock) -> None:
    stream = io.StringIO()
    with ProgressBar("collect", 10_000, "transitions", done=1_000, stream=stream) as bar:
        for reward in (0.1, 0.2, 0.3):
            clock.now += 6
            bar.advance(1_200, mean_reward=reward)
        clock.now += 2
        bar.advance(5_400, state="done")
    assert stream.getvalue().splitlines() == [
        "collect: 3,400/10,000 transitions, 200/s, 0:33 left, mean reward 0.2",
        "collect: 10,000/10,000 transitions, 450/s, mean reward 0.3, state done",
    ]


def test_nothing_is_said_at_the_end_of_what_failed(clock: Clock) -> None:
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError), ProgressBar("x", 10, stream=stream) as bar:
        bar.advance(1 // 0)
    assert stream.getvalue() == ""


def test_without_a_total_there_is_no_time_left(clock: Clock) -> None:
    bar = ProgressBar("x", None)
    clock.now += 2
    bar.advance(5000)
    assert bar.text() == "x: 5,000 steps, 2,500/s"


def test_long_times_have_hours(clock: Clock) -> None:
    bar = ProgressBar("x", 7201 + 1)
    clock.now += 1
    bar.advance(1)
    assert bar.text() == "x: 1/7,202 steps, 1/s, 2:00:01 left"


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with ProgressBar("train", 10, "updates", stream=stream) as bar:
        bar.advance(10, loss=0.5)
    assert "train: 10/10 updates" in stream.getvalue()
    assert "loss 0.5" in stream.getvalue()


def test_before_the_first_step_no_rate_is_said() -> None:
    assert ProgressBar("collect", 8_000, unit="transitions").text() == "collect: 0/8,000 transitions"
