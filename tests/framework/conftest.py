"""Toy components, registered for as long as one test runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
import torch
from pydantic import Field

from bfmkit.interfaces import EnvironmentSpec, Job, JobError, QueryRule, Schedule
from bfmkit.recipe.deferred import Deferred
from bfmkit.runs.run_directory import append_metrics, read_metrics
from bfmkit.testing.registry import registered


class ToyQueryRule(QueryRule):
    """Open above a threshold.

    Args:
        threshold: above which it opens,
            and it is positive.
        mode: how.
    """

    def __init__(
        self,
        threshold: float = 1.0,
        mode: Literal["hard", "soft"] = "hard",
        sizes: list[int] | None = None,
        pair: tuple[int, float] = (1, 1.0),
        share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        flag: bool = False,
    ) -> None:
        if threshold <= 0:
            raise ValueError(f"threshold must be positive, got {threshold}")
        self.threshold, self.mode, self.sizes, self.pair, self.flag = threshold, mode, sizes, pair, flag

    def should_query(self, posterior, belief, features, labels):
        return labels > self.threshold


class ToyPairQueryRule(QueryRule):
    """Two query rules, and an environment's sizes."""

    def __init__(self, query_rule: QueryRule, spec: EnvironmentSpec, other: QueryRule | None = None) -> None:
        self.query_rule, self.spec, self.other = query_rule, spec, other

    def should_query(self, posterior, belief, features, labels):
        return self.query_rule.should_query(posterior, belief, features, labels)


class ToyFileQueryRule(QueryRule):
    """Reads a file."""

    def __init__(self, file: Path) -> None:
        self.text = file.read_text()

    def should_query(self, posterior, belief, features, labels):
        return labels > 0


@dataclass(frozen=True)
class ToySettings:
    """Settings without a type."""

    rate: float
    count: int = 2


class ToyJob(Job):
    """Counts to ``steps``, once in all its life, in a way that can end badly."""

    def __init__(
        self,
        query_rule: QueryRule,
        later: Deferred[QueryRule] | None = None,
        query_rules: dict[str, QueryRule] | None = None,
        row: list[QueryRule] | None = None,
        either: Schedule | QueryRule | int | None = None,
        settings: ToySettings | None = None,
        rate: float | Literal["auto"] = "auto",
        path: Path = Path("data"),
        name: str = "toy",
        steps: int = 3,
        seed: int = 0,
        ends: Literal["well", "failed", "crash", "interrupt"] = "well",
    ) -> None:
        self.query_rule, self.later, self.query_rules, self.row, self.either = (
            query_rule,
            later,
            query_rules,
            row,
            either,
        )
        self.settings, self.rate, self.path, self.name = settings, rate, path, name
        self.steps, self.seed, self.ends = steps, seed, ends

    def run(self, out: Path, device: torch.device) -> dict:
        for step in range(len(read_metrics(out)), self.steps):
            append_metrics(out, {"step": step})
        if self.ends == "failed":
            raise JobError("the counting came to nothing")
        if self.ends == "crash":
            raise ZeroDivisionError("a\nlong story")
        if self.ends == "interrupt":
            raise KeyboardInterrupt
        return {"steps": self.steps, "device": str(device), "nothing": float("nan")}


@pytest.fixture
def toys() -> Iterator[SimpleNamespace]:
    """The classes, known to recipes as toy, toy_pair, toy_file (query rules) and toy (a job)."""
    with ExitStack() as stack:
        for interface, name, cls in (
            (QueryRule, "toy", ToyQueryRule),
            (QueryRule, "toy_pair", ToyPairQueryRule),
            (QueryRule, "toy_file", ToyFileQueryRule),
            (Job, "toy", ToyJob),
        ):
            stack.enter_context(registered(interface, name, cls))
        yield SimpleNamespace(QueryRule=ToyQueryRule, PairQueryRule=ToyPairQueryRule, Job=ToyJob, Settings=ToySettings)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
