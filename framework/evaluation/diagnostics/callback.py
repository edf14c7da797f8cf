"""Diagnostics during training, as a callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch import Trainer
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.evaluation.diagnostics.measure import bad_names
from bfmkit.evaluation.diagnostics.offline import offline_measures
from bfmkit.runs.run_directory import append_metrics
from bfmkit.training.ema import frozen_copy
from bfmkit.training.lightning_module import Pretraining


class HealthReport(lightning.Callback):
    """Takes the measures that need no environment every so many updates, and writes them to log and ``metrics.jsonl``.

    It looks at a copy, and draws nothing from torch's generator: a training is the same with it and without. Rewards
    are for people to read.

    Args:
        every: updates between two reports.
        transitions: batch (n,), the same for every report.
        rewards: task -> (n,); may be empty.
        out: the run directory.
        seed: of the random rewards.
        say: called with a line when other measures are bad than at the report before.
    """

    def __init__(
        self,
        every: int,
        transitions: TensorDictBase,
        rewards: Mapping[str, Tensor],
        out: Path,
        seed: int = 0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._every, self._transitions, self._rewards = every, transitions, rewards
        self._out, self._seed, self._say = out, seed, say
        self._bad: list[str] | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Report when it is time."""
        module = cast(Pretraining, pl_module)
        number = module.update
        if number % self._every or not trainer.is_global_zero:
            return
        copy = frozen_copy(module.model).eval()
        transitions = self._transitions.to(module.device)
        devices = [module.device] if module.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            module.objective.finish(copy, transitions)
            measures = offline_measures(copy, transitions, self._rewards, self._seed)
        values = {measure.name: measure.value for measure in measures}
        bad = bad_names(measures)
        append_metrics(self._out, {"update": number, "health": values, "bad": bad})
        if bad != self._bad:
            self._bad = bad
            self._say(f"update {number:,}, health: {'bad: ' + ', '.join(bad) if bad else 'nothing is bad'}")
            for measure in measures:
                if measure.is_bad:
                    self._say(f"    {measure.name} {measure.value:.3g} ({measure.expected}): {measure.meaning}")
        metrics = {f"health/{name}": value for name, value in values.items()}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=number)
        module.log_dict(metrics, on_step=False, on_epoch=True, logger=False, batch_size=1, rank_zero_only=True)
