"""The command line, run inside this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch

from bfmkit.cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def bfmkit(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """Call it with words; it gives exit code and output."""
    threads, environment = torch.get_num_threads(), dict(os.environ)

    def call(*words: object) -> Outcome:
        code = main([str(word) for word in words])
        return Outcome(code, *capsys.readouterr())

    yield call
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(environment)
