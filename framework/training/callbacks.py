"""Callbacks of a training: progress, log, checkpoints and evaluations.

Of several processes that train together, the first one writes; whatever changes what is learnt happens in all.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import Signals
from typing import Any, cast

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from tensordict import TensorDictBase
from torch import distributed

from bfmkit.data.shards import empty_transitions
from bfmkit.data.transition_pool import TransitionPool
from bfmkit.interfaces import JobError
from bfmkit.runs.run_directory import append_metrics, read_metrics, rewrite_metrics
from bfmkit.training.lightning_module import Pretraining
from bfmkit.training.self_collection import SelfCollection, SelfCollector
from bfmkit.utils import stop_signals
from bfmkit.utils.progress_bar import ProgressBar

ASK_EVERY = 20
"""Several processes agree on whether it is time to save every so many groups of updates."""


class ProgressCallback(lightning.Callback):
    """Progress bar of a training, and a row of losses in ``metrics.jsonl`` every hundred updates."""

    def __init__(self, out: Path, updates: int) -> None:
        self._out, self._updates = out, updates
        self._shown: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the bar where the training stands; rows that an earlier run wrote beyond that are written again."""
        if not trainer.is_global_zero:
            return
        number = _update(pl_module)
        rows = list(read_metrics(self._out))
        # Losses carry the number of their update, evaluations and health reports that of the updates that are done.
        kept = [
            row for row in rows
            if row["update"] < number + ("oracle_return" in row or "health" in row) or number >= self._updates
        ]  # fmt: skip
        if len(kept) < len(rows):
            rewrite_metrics(self._out, kept)
        self._bar = ProgressBar("pretrain", self._updates, unit="updates", done=number)
        self._bar.__enter__()

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Advance the bar by a group of updates."""
        if not trainer.is_global_zero:
            return
        for row in _pretraining(pl_module).rows:
            append_metrics(self._out, row)
            self._shown = {name: row[name] for name in ("value",) if name in row}
            losses = {name: value for name, value in row.items() if name != "update"}
            for logger in trainer.loggers:
                logger.log_metrics(losses, step=int(row["update"]))
        self._bar.advance(_update(pl_module) - self._bar.done, **self._shown)

    def say(self, text: str) -> None:
        """Write a line that stays, above the bar while there is one."""
        if hasattr(self, "_bar"):
            self._bar.say(text)

    def teardown(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        if hasattr(self, "_bar"):
            self._bar.__exit__(None, None, None)


class CheckpointCallback(Checkpoint):
    """Checkpoint ``checkpoints/last.ckpt``, written every few minutes and at the end, atomically.

    As a checkpoint callback of Lightning it comes after all others: the state has what they did.
    """

    def __init__(self, file: Path, minutes: float) -> None:
        self._file, self._seconds, self._last = file, minutes * 60, time.monotonic()
        self._groups = 0

    def setup(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Have states written to the run's own disk."""
        trainer.strategy.checkpoint_io = StateFile()

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Take stop signals back from Lightning, which ends a training without a word and with exit code 0."""
        stop_signals.take_over()

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Save when it is time, and when a signal asks to stop; after an epoch's last update, once that has ended.

        Raises:
            KeyboardInterrupt: after the state was saved, if a stop signal was received.
        """
        self._groups += 1
        if not trainer.is_last_batch and (trainer.world_size == 1 or self._groups % ASK_EVERY == 0):
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Save as after any other update.

        Raises:
            KeyboardInterrupt: after the state was saved, if a stop signal was received.
        """
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: Trainer) -> None:
        due, signal = time.monotonic() - self._last >= self._seconds, stop_signals.received()
        if trainer.world_size > 1:
            # Their clocks differ, a signal may reach only some of them, and all must take part.
            asked = torch.tensor([int(due), signal or 0], device=trainer.strategy.root_device)
            distributed.all_reduce(asked, distributed.ReduceOp.MAX)
            due, signal = bool(asked[0]), Signals(int(asked[1])) if asked[1] else None
        if due or signal is not None:
            self.save(trainer)
        stop_signals.raise_received(signal)

    def on_train_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the end."""
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write to a temporary name, then rename.

        Raises:
            JobError: if there is no room; what was saved before is kept.
        """
        temporary = self._file.with_suffix(".tmp")
        try:
            trainer.save_checkpoint(temporary, weights_only=False)
            if trainer.is_global_zero:
                os.replace(temporary, self._file)
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            earlier = "; the one before is kept, and the same command goes on from it" if self._file.exists() else ""
            reason = " ".join(str(error).split())
            raise JobError(f"{self._file}: the training state cannot be written ({reason}){earlier}") from error
        self._last = time.monotonic()


class CollectionCallback(lightning.Callback):
    """Self-collection every so many updates, added to the pool that batches are drawn from."""

    def __init__(self, self_collection: SelfCollection, ground: SelfCollector, updates: int) -> None:
        self._practice, self._ground, self._updates = self_collection, ground, updates

    def setup(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Take the pool of the trainer's data module."""
        self._pool: TransitionPool = trainer.datamodule.pool  # type: ignore[attr-defined]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from the rounds that the training state knows of; batches are drawn right after this."""
        number = min(checkpoint["update"], self._updates - 1)
        self._pool.rewind(self._practice.rounds(number) * self._practice.block)

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Play when it is time; after the last update there is nothing left to learn from it."""
        number = _update(pl_module)
        if number % self._practice.every == 0 and number < self._updates:
            self._pool.add(self._round(trainer, number // self._practice.every))

    def _round(self, trainer: Trainer, number: int) -> TensorDictBase:
        if trainer.world_size == 1:
            return self._ground.round(number, self._transitions)
        if trainer.is_global_zero:
            episodes = self._ground.round(number, self._transitions)
        else:
            episodes = empty_transitions(self._practice.environment.spec, self._practice.block)
        for _, value in sorted(episodes.flatten_keys(".").items()):
            there = value.to(trainer.strategy.root_device)
            distributed.broadcast(there, 0)
            value.copy_(there)
        return episodes

    def _transitions(self, count: int) -> TensorDictBase:  # batch (count,)
        return self._pool.batch(torch.randint(len(self._pool), (count,)))


class PeriodicEvaluation(lightning.Callback):
    """Evaluation every so many updates and at the end; logs the returns as ``oracle_return/TASK`` and ``/mean``.

    Args:
        every: updates between two evaluations.
        updates: U, how many there will be.
        evaluate: update -> task -> return; of several processes, that of the first one counts.
    """

    def __init__(self, every: int, updates: int, evaluate: Callable[[int], Mapping[str, float]]) -> None:
        self._every, self._updates, self._evaluate = every, updates, evaluate
        self._last: int | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Evaluate when it is time."""
        number = _update(pl_module)
        if number % self._every == 0 or number >= self._updates:
            self._tell(trainer, number)
            pl_module.log_dict(self._returns, on_step=False, on_epoch=True, logger=False, batch_size=1, sync_dist=True)

    def on_train_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Evaluate a training that was ended before its time."""
        if self._last != _update(pl_module):
            self._tell(trainer, _update(pl_module))

    def _tell(self, trainer: Trainer, number: int) -> None:
        returns = trainer.strategy.broadcast(dict(self._evaluate(number)))
        self._last = number
        self._returns = {f"oracle_return/{name}": value for name, value in returns.items()}
        if returns:
            self._returns["oracle_return/mean"] = sum(returns.values()) / len(returns)
        for logger in trainer.loggers:
            logger.log_metrics(self._returns, step=number)


def _pretraining(module: lightning.LightningModule) -> Pretraining:
    return cast(Pretraining, module)


def _update(module: lightning.LightningModule) -> int:
    return _pretraining(module).update


class StateFile(TorchCheckpointIO):
    """Checkpoint writer that uses no temporary folder of the system.

    Lightning's own way goes through the system's folder for temporary files, which may be on a smaller disk than the
    run.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write one, and wait until the disk has it.

        Raises:
            OSError: if there is no room; part of the file may be there.
        """
        # In memory first: where a file breaks off, torch complains of positions in it, and not of the disk.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with Path(path).open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
