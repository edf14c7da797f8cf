"""The one LightningModule: steps whatever objective it is given."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Literal, cast

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import BFM, JobFailed, Objective
from bfmkit.weights_average import frozen_copy, move_towards

LOG_EVERY = 100


class Pretraining(lightning.LightningModule):
    """Steps an objective: one Adam, one group of parameters for each name the objective gives.

    ``update`` is our own counter; the schedule, the log, checkpoints and batches follow it.

    Args:
        objective: the losses, and the model in them.
        updates: U, how many there will be.
        learning_rate: of every group, times the objective's factor for it.
        decay: ``constant``, or ``cosine`` from the learning rate to a hundredth of it at U.
        averaging: decay of the averaged weights, e.g. 0.999; None keeps the last ones.
        folder: where the batch of a non-finite loss is saved.
    """

    update: Tensor
    seconds: Tensor

    def __init__(
        self,
        objective: Objective,
        updates: int,
        learning_rate: float,
        decay: Literal["constant", "cosine"],
        averaging: float | None,
        folder: Path,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.objective = objective
        self.average = frozen_copy(objective.bfm) if averaging is not None else None
        self.register_buffer("update", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seconds", torch.zeros((), dtype=torch.float64))
        self.latest: dict[str, float] = {}
        self._updates, self._rate, self._decay = updates, learning_rate, decay
        self._averaging, self._folder = averaging, folder

    @property
    def model(self) -> BFM:
        """What is evaluated and shipped: the averaged weights if there are any."""
        return self.objective.bfm if self.average is None else self.average

    def on_fit_start(self) -> None:
        """The average starts as the model is, with the observation scale that was fitted after construction."""
        if self.average is not None and int(self.update) == 0:
            self.average.load_state_dict(self.objective.bfm.state_dict())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One fused Adam."""
        groups = []
        for name, parameters in self.objective.parameter_groups().items():
            rate = self._rate * self.objective.rate_factors.get(name, 1.0)
            groups.append({"params": parameters, "lr": rate, "full_lr": rate})
        return torch.optim.Adam(groups, fused=True)

    def training_step(self, batch: TensorDictBase, batch_index: int) -> None:
        """One update; ``seconds`` counts the time spent in updates, over all sessions.

        Raises:
            JobFailed: if the loss is not finite; the batch is saved first.
        """
        begun = time.monotonic()
        number = int(self.update)
        optimizer = cast(LightningOptimizer, self.optimizers())
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * self._rate_factor(number)
        losses = self.objective(batch)
        total = sum(value for name, value in losses.items() if name.startswith("loss_"))
        if not torch.isfinite(total):
            self._fail(batch, losses, number)
        optimizer.zero_grad()
        self.manual_backward(total)
        optimizer.step()
        self.objective.update_targets()
        self.objective.update_statistics(batch)
        if self.average is not None and self._averaging is not None:
            # A shorter memory at first, so that the average is not still at its random start.
            rate = max(1 - self._averaging, 1 / (number + 1))
            move_towards(self.average, self.objective.bfm, rate)
        self.update.add_(1)
        self.seconds.add_(time.monotonic() - begun)
        if number % LOG_EVERY == 0:
            self.latest = {name: value.item() for name, value in losses.items()}
            self.log_dict(self.latest)

    def _rate_factor(self, number: int) -> float:
        if self._decay == "constant":
            return 1.0
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(number / self._updates, 1.0)))

    def _fail(self, batch: TensorDictBase, losses: TensorDictBase, number: int) -> None:
        file = self._folder / f"non_finite_batch_{number}.pt"
        torch.save(batch.to_dict(), file)
        bad = [name for name, value in losses.items() if not torch.isfinite(value)]
        raise JobFailed(f"update {number}: {', '.join(bad)} not finite; the batch is saved as {file}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's checkpoint has no random-number state of its own."""
        checkpoint["random_state"] = torch.get_rng_state()
        if self.device.type == "cuda":
            checkpoint["device_random_state"] = torch.cuda.get_rng_state(self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on drawing where the checkpoint stopped."""
        torch.set_rng_state(checkpoint["random_state"].cpu())
        # Absent where the checkpoint comes from a CPU; then there is nothing to go on with.
        if "device_random_state" in checkpoint and torch.cuda.is_available():
            # The model has not been moved yet, so the device that will be drawn on is known to the trainer alone.
            torch.cuda.set_rng_state(checkpoint["device_random_state"].cpu(), self.trainer.strategy.root_device)
