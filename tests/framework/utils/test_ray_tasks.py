from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bfmkit.utils.processes import Ended
from bfmkit.utils.ray_tasks import in_ray, require_ray

pytest.importorskip("ray", reason="the extra `ray` is not installed")


def counted(task: tuple[str, int, Path]) -> Iterator[int]:
    """Counts up from a number; one task fails, another's process dies once its first message was heard."""
    name, start, heard = task
    yield start
    if name == "fails":
        raise ValueError("no such number")
    if name == "dies" and start < 5:
        while not heard.exists():  # a message that is still on its way dies with its process
            time.sleep(0.01)
        os._exit(3)
    yield start + 1


def test_messages_come_as_a_stream_and_a_death_is_gone_on_from(tmp_path: Path) -> None:
    require_ray()
    heard: dict[str, list[Any]] = defaultdict(list)
    for task, message in in_ray(
        ["counts", "fails", "dies"],
        counted,
        lambda task: (task, 5 * len(heard[task]), tmp_path / task),
        workers=1,
        tries=2,
    ):
        heard[task].append(message)
        (tmp_path / task).touch()
    assert heard == {
        "counts": [0, 1, Ended()],
        "fails": [0, Ended(error="ValueError: no such number")],
        "dies": [0, 5, 6, Ended()],
    }
