"""What happens around updates: the bar, the log, checkpoints and evaluations."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from bfmkit.practice import Practice, PracticeGround
from bfmkit.pretraining import LOG_EVERY, Pretraining
from bfmkit.progress import Progress
from bfmkit.run_directory import METRICS, append_metrics, read_metrics, write_atomically
from bfmkit.transition_pool import TransitionPool


class UpdateBar(lightning.Callback):
    """Updates, updates a second and time left; a row of losses in ``metrics.jsonl`` now and then."""

    def __init__(self, out: Path, updates: int) -> None:
        self._out, self._updates = out, updates

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the bar where the training stands; rows that an earlier run wrote beyond that are written again."""
        number = _update(pl_module)
        rows = list(read_metrics(self._out))
        # Losses carry the number of their update, evaluations the number of updates that are done.
        kept = [row for row in rows if row["update"] < number + ("oracle_return" in row) or number >= self._updates]
        if len(kept) < len(rows):
            write_atomically(self._out / METRICS, "".join(json.dumps(row) + "\n" for row in kept))
        self._bar = Progress("pretrain", self._updates, unit="updates", done=number)
        self._bar.__enter__()

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """One update more."""
        number = _update(pl_module)
        if number % LOG_EVERY == 1:
            append_metrics(self._out, {"update": number - 1, **_pretraining(pl_module).latest})
        self._bar.advance(1, value=_pretraining(pl_module).latest.get("value", float("nan")))

    def teardown(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        if hasattr(self, "_bar"):
            self._bar.__exit__(None, None, None)


class TrainingState(lightning.Callback):
    """Writes ``checkpoints/last.ckpt`` every few minutes and at the end; the old one stays until the new is whole."""

    def __init__(self, file: Path, minutes: float) -> None:
        self._file, self._seconds, self._last = file, minutes * 60, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Save when it is time."""
        if time.monotonic() - self._last >= self._seconds:
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the end."""
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write to a temporary name, then rename."""
        temporary = self._file.with_suffix(".tmp")
        trainer.save_checkpoint(temporary, weights_only=False)
        os.replace(temporary, self._file)
        self._last = time.monotonic()


class Practising(lightning.Callback):
    """Plays a round every so many updates, and adds it to what batches are drawn from."""

    def __init__(self, practice: Practice, ground: PracticeGround, pool: TransitionPool) -> None:
        self._practice, self._ground, self._pool = practice, ground, pool

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from the rounds that the training state knows of; batches are drawn right after this."""
        number = min(int(checkpoint["state_dict"]["update"]), trainer.max_steps - 1)
        self._pool.rewind(self._practice.rounds(number) * self._practice.block)

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Play when it is time; after the last update there is nothing left to learn from it."""
        number = _update(pl_module)
        if number % self._practice.every == 0 and number < trainer.max_steps:
            self._pool.add(self._ground.round(number // self._practice.every, self._following))

    def _following(self, count: int) -> Tensor:  # (count, o)
        rows = torch.randint(len(self._pool), (count,))
        return self._pool.batch(rows)["next", "observation"]


class PeriodicEvaluation(lightning.Callback):
    """Calls ``evaluate(update)`` every so many updates; the job itself evaluates at the end."""

    def __init__(self, every: int, evaluate: Callable[[int], Any]) -> None:
        self._every, self._evaluate = every, evaluate

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Evaluate when it is time."""
        number = _update(pl_module)
        if number % self._every == 0 and number < trainer.max_steps:
            self._evaluate(number)


def _pretraining(module: lightning.LightningModule) -> Pretraining:
    return cast(Pretraining, module)


def _update(module: lightning.LightningModule) -> int:
    return int(_pretraining(module).update)
