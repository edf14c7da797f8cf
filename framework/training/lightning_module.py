"""LightningModule that trains an objective."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDictBase
from torch import Tensor, distributed, nn

from bfmkit.data.sampling import TransitionBatches
from bfmkit.interfaces import BFM, JobError, Objective
from bfmkit.training.all_gather import everywhere, processes
from bfmkit.training.cuda_graph import CapturedUpdate, Snapshot
from bfmkit.training.ema import frozen_copy, move_towards
from bfmkit.training.failed_update import FailedUpdate
from bfmkit.training.precision import in_precision
from bfmkit.training.pretraining_options import HardwareOptions, OptimizerOptions
from bfmkit.training.rng_state import generator_states, set_generator_states

LOG_EVERY = 100


class Pretraining(lightning.LightningModule):
    """Training of an objective: one Adam with a parameter group for each name that the objective gives.

    ``update`` is our own counter; the schedule, the log, checkpoints and batches follow it. A step of the trainer is a
    group of updates, (first, how many).

    Args:
        objective: the losses, and the model in them.
        updates: U, how many there will be.
        optimizer: learning rate of every group, times the objective's factor for it; schedule; averaged weights.
        folder: where an update whose loss is not finite is saved.
        batches: what to train on.
        origin: what builds the objective, for whoever replays such an update: ``objective`` and ``spec``.
        hardware: precision of the losses (``tf32`` is a matter of the process, not of this module), whether to compile
            them, and whether to record an update once and replay it, on a GPU alone.
        gradient_clip_val: largest gradient, in the measure that ``gradient_clip_algorithm`` names; any if not given.
        gradient_clip_algorithm: ``norm`` of all gradients together, or ``value`` of each entry.
    """

    update: int
    """Updates made, over all sessions."""
    seconds: float
    """Time spent in them."""

    def __init__(
        self,
        objective: Objective,
        updates: int,
        optimizer: OptimizerOptions,
        folder: Path,
        batches: TransitionBatches | None = None,
        origin: dict[str, Any] | None = None,
        hardware: HardwareOptions = HardwareOptions(),  # noqa: B008
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: Literal["norm", "value"] = "norm",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.objective = objective
        self.average = None if optimizer.ema_decay is None else frozen_copy(objective.bfm)
        # Numbers and not buffers: callbacks that average weights average buffers too.
        self.update, self.seconds = 0, 0.0
        self.rows: list[dict[str, float]] = []
        """What is to be logged of the last group of updates."""
        self._updates, self._options, self._folder = updates, optimizer, folder
        self._batches, self._hardware = batches, hardware
        self._origin = origin or {"objective": {}, "spec": {}}
        self._clip_val, self._clip_algorithm = gradient_clip_val, gradient_clip_algorithm
        self._captured: list[CapturedUpdate] = []
        # A compiled function, not a compiled module: names of parameters stay what they are.
        self._compiled: Callable[[TensorDictBase], TensorDictBase] | None = None
        if hardware.compile:
            self._compiled = torch.compile(objective.forward, dynamic=False)

    @property
    def leaves_parameters_idle(self) -> bool:
        """Whether updates leave some parameters without a gradient, which several processes must know."""
        trained = {id(parameter) for group in self.objective.parameter_groups().values() for parameter in group}
        needed = {id(parameter) for parameter in self.parameters() if parameter.requires_grad}
        return self.objective.period > 1 or not needed <= trained

    @property
    def model(self) -> BFM:
        """Model that is evaluated and shipped: the averaged weights if there are any."""
        return self.objective.bfm if self.average is None else self.average

    def setup(self, stage: str) -> None:
        """Take batches from the trainer's data module, where none were given."""
        if self._batches is None:
            self._batches = getattr(getattr(self.trainer, "datamodule", None), "batches", None)

    def on_fit_start(self) -> None:
        """The average starts as the model is, with the observation scale that was fitted after construction."""
        if self.average is not None and self.update == 0:
            self.average.load_state_dict(self.objective.bfm.state_dict())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One fused Adam."""
        groups = []
        for name, parameters in self.objective.parameter_groups().items():
            rate = self._options.learning_rate * self.objective.rate_factors.get(name, 1.0)
            groups.append({"params": parameters, "lr": self._placed(rate, parameters), "full_lr": rate})
        return torch.optim.Adam(groups, fused=True, capturable=self._hardware.cuda_graph)

    def on_train_start(self) -> None:
        """Place learning rates where updates read them.

        A training state is read to the processor's memory, and an optimiser takes over the groups of the state as they
        are, rates and all. A rate that lies there would be recorded as the number that it is at the time, for good. A
        state may also come from a device on which nothing is recorded, or be gone on with on one.
        """
        for group in cast(LightningOptimizer, self.optimizers()).param_groups:
            group["capturable"] = self._hardware.cuda_graph
            group["lr"] = self._placed(float(group["lr"]), group["params"])

    def _placed(self, rate: float, parameters: list[nn.Parameter]) -> Tensor | float:
        # A recorded update reads the rate from where it was when it was recorded.
        return torch.tensor(rate, device=parameters[0].device) if self._hardware.cuda_graph else rate

    def training_step(self, group: tuple[int, int], batch_index: int) -> None:
        """A group of updates; ``seconds`` counts the time spent in updates, over all sessions.

        Raises:
            JobError: if a loss is not finite; what replays the update is saved first.
        """
        begun = time.monotonic()
        first, count = group
        self.rows = []
        if self._batches is None:
            raise ValueError("there are no batches to train on")
        chunk = self._batches.chunk(first, count)
        if not (self._hardware.cuda_graph and self._recorded(chunk, first)):
            for offset in range(count):
                self._eager(chunk[offset], first + offset)
        self.seconds += time.monotonic() - begun

    def on_train_batch_end(self, *_: Any) -> None:
        """Report the losses, for callbacks that monitor one of them; loggers get them from the progress callback."""
        for row in self.rows:
            losses = {name: value for name, value in row.items() if name != "update"}
            self.log_dict(losses, on_step=False, on_epoch=True, logger=False, batch_size=1, sync_dist=True)

    def _eager(self, batch: TensorDictBase, number: int) -> None:
        """One update, looked at before it is made."""
        optimizer = cast(LightningOptimizer, self.optimizers())
        self._set_rates(optimizer, number)
        self.objective.start_update(number)
        before = generator_states(self.device)
        losses, total = self._losses(batch)
        if not everywhere(torch.isfinite(total)):
            self._fail(losses, number, before)
        optimizer.zero_grad()
        self.manual_backward(total)
        self._clip(optimizer)
        optimizer.step()
        self.objective.update_targets()
        self.objective.update_statistics(batch)
        self._done(losses, number)

    def _recorded(self, chunk: TensorDictBase, first: int) -> bool:
        """The same updates from a recording; if one was not finite, nothing has happened and false is given."""
        optimizer = cast(LightningOptimizer, self.optimizers()).optimizer
        before = Snapshot(self, optimizer, self.device)
        if not self._captured:
            kinds = range(self.objective.period)
            updates = [partial(self._unseen, optimizer, number) for number in kinds]
            self._captured = [CapturedUpdate(update, chunk[0], before) for update in updates]
        finite = torch.ones((), dtype=torch.bool, device=self.device)
        for offset in range(len(chunk)):
            self._set_rates(optimizer, first + offset)
            losses, total = self._captured[(first + offset) % len(self._captured)].replay(chunk[offset])
            finite &= torch.isfinite(total)
            self._done(losses, first + offset)
        if not finite:
            before.restore()
            self.rows, self.update = [], first
        return bool(finite)

    def _unseen(
        self, optimizer: torch.optim.Optimizer, number: int, batch: TensorDictBase
    ) -> tuple[TensorDictBase, Tensor]:
        """What a recording holds: an update from losses to targets, without a look at any number."""
        self.objective.start_update(number)
        losses, total = self._losses(batch)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._clip(optimizer)
        optimizer.step()
        self.objective.update_targets()
        self.objective.update_statistics(batch)
        return losses.detach(), total.detach()

    def _clip(self, optimizer: Any) -> None:
        if self._clip_val is None:
            return
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        clip = nn.utils.clip_grad_norm_ if self._clip_algorithm == "norm" else nn.utils.clip_grad_value_
        clip(parameters, self._clip_val)

    def _losses(self, batch: TensorDictBase) -> tuple[TensorDictBase, Tensor]:
        with self._in_precision():
            losses = self.objective(batch) if self._compiled is None else self._compiled(batch)
        return losses, cast(Tensor, sum(value for name, value in losses.items() if name.startswith("loss_")))

    def _in_precision(self) -> AbstractContextManager:
        return in_precision(self._hardware.precision, self.device)

    def _done(self, losses: TensorDictBase, number: int) -> None:
        if self.average is not None and self._options.ema_decay is not None:
            # A shorter memory at first, so that the average is not still at its random start.
            rate = max(1 - self._options.ema_decay, 1 / (number + 1))
            move_towards(self.average, self.objective.bfm, rate)
        self.update += 1
        if number % LOG_EVERY == 0:
            self.rows.append({"update": number, **{name: value.item() for name, value in losses.items()}})

    def _set_rates(self, optimizer: Any, number: int) -> None:
        for group in optimizer.param_groups:
            rate = group["full_lr"] * self._rate_factor(number)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _rate_factor(self, number: int) -> float:
        warmup = self._options.warmup
        warm = min((number + 1) / warmup, 1.0) if warmup else 1.0
        if self._options.lr_schedule == "constant":
            return warm
        return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(number / self._updates, 1.0))))

    def _fail(self, losses: TensorDictBase, number: int, generators: dict[str, Any]) -> None:
        bad = [name for name, value in losses.items() if not torch.isfinite(value)]
        what = f"update {number}: {', '.join(bad) or 'a loss of another process'} not finite"
        if not self.trainer.is_global_zero or self._batches is None:
            raise JobError(what)
        failed = FailedUpdate(
            number=number,
            # Of several processes, the first one's noise on the whole batch.
            batch=self._batches.whole(number),
            weights=self.objective.state_dict(),
            generators=generators,
            precision=self._hardware.precision,
            **self._origin,
        )
        file = failed.save(self._folder)
        raise JobError(f"{what}; the batch is saved. To replay the update: {failed.command(file)}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's checkpoint has no random-number state of its own; each process has one."""
        mine = generator_states(self.device)
        everyone: list[Any] = [mine] * processes()
        if processes() > 1:
            distributed.all_gather_object(everyone, mine)
        checkpoint.update(
            generators=everyone, update=self.update, seconds=self.seconds, stopped=self.trainer.should_stop
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore counters and generators of the checkpoint.

        Raises:
            JobError: if another number of processes wrote it than train now, or another version of the program.
        """
        everyone = checkpoint.get("generators")
        if everyone is None or "update" not in checkpoint:
            raise JobError("the training state was written by another version of bfmkit; go on with that one")
        if len(everyone) != self.trainer.world_size:
            raise JobError(
                f"this training was begun by {len(everyone)} processes and cannot be gone on with by "
                f"{self.trainer.world_size}; set devices and nodes as they were"
            )
        self.update, self.seconds = checkpoint["update"], checkpoint["seconds"]
        # A callback had ended the training.
        self.trainer.should_stop = checkpoint["stopped"]
        # The model has not been moved yet, so the device that will be drawn on is known to the trainer alone.
        set_generator_states(everyone[self.trainer.global_rank], self.trainer.strategy.root_device)
