"""Counts the source files that one online step goes through: how far a reader has to go to follow it.

    python tests/benchmarks/step_files.py [RECIPE]

A step acts and observes, with an agent from ``bfmkit.load_agent``; the environment is left out. Every call, line and
return in a file of bfmkit counts, and a change is where two that follow each other lie in different files.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import bfmkit
from bfmkit.interfaces import Agent

WARM_UP = 3


def visited(recipe: str) -> list[str]:
    """The file of each event of one step, after a few others."""
    agent = bfmkit.load_agent(recipe, "seed=0")
    for _ in range(WARM_UP):
        step(agent)
    roots, files = _roots(), []

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        file = Path(frame.f_code.co_filename)
        if not file.is_relative_to(roots[0]) and not file.is_relative_to(roots[1]):
            return None
        files.append(str(file))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        step(agent)
    finally:
        sys.settrace(before)
    return files


def step(agent: Agent) -> None:
    """Act and observe once."""
    spec = agent.bfm.environment_spec
    observation, following = torch.randn(2, spec.observation_size)
    agent.observe(observation, agent.act(observation), following, 0.5)


def changes(files: list[str]) -> int:
    """How often a file follows another."""
    return sum(one != other for one, other in pairwise(files))


def _roots() -> tuple[Path, Path]:
    from bfmkit import components

    return Path(bfmkit.__file__).parent, Path(components.__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="opti_bfm")
    files = visited(parser.parse_args().recipe)
    for file in sorted(set(files)):
        print(file)
    print(f"{changes(files)} changes of file, {len(set(files))} files")


if __name__ == "__main__":
    main()
