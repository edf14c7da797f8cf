"""Job ``pretrain``: a behaviour foundation model from reward-free transitions."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge
from tensordict import TensorDictBase
from torch import distributed

from bfmkit.environments.labels import label
from bfmkit.inference.oracle_returns import oracle_returns
from bfmkit.interfaces import BFM, Agent, Dataset, Job, JobError, Objective
from bfmkit.models.card import write_card
from bfmkit.models.folder import load_model, resolve, save_model
from bfmkit.recipe.deferred import Deferred
from bfmkit.registry import lookup, register
from bfmkit.report.plots.drawn_rewards import draw_rewards
from bfmkit.report.plots.training import draw_training
from bfmkit.runs.metric_log import finish, lightning_logger, require_loggers
from bfmkit.runs.run_directory import append_metrics, read_metrics
from bfmkit.training.allocator import keep_freed_memory
from bfmkit.training.cluster import cluster_arguments, is_first_process, shared_machine
from bfmkit.training.ema import frozen_copy
from bfmkit.training.precision import float32_products
from bfmkit.training.pretraining_options import EvaluationOptions, HardwareOptions, OptimizerOptions
from bfmkit.training.self_collection import SelfCollection, SelfCollector
from bfmkit.training.trainer_options import LightningClass, require_trainer_arguments
from bfmkit.utils.checks import PositiveFloat, PositiveInt
from bfmkit.utils.rng import generator
from bfmkit.utils.stop_signals import held

if TYPE_CHECKING:
    import lightning
    from lightning.pytorch.loggers import Logger

    from bfmkit.training.data_module import TransitionData
    from bfmkit.training.lightning_module import Pretraining

SCALE_SAMPLE = 100_000
HEALTH_SAMPLE = 2_000
REWARD_SAMPLE = 2_000
CALLBACKS, LOGGERS = "lightning.pytorch.callbacks", "lightning.pytorch.loggers"
CLIPPING = ("gradient_clip_val", "gradient_clip_algorithm")
"""Trainer arguments that are the module's, which makes its updates itself."""


@register(Job, "pretrain")
class PretrainJob(Job):
    """Training of one objective on one dataset, with Lightning; writes a model folder to ``out/model``.

    Args:
        dataset: what to train on.
        objective: the losses, with the model in them.
        updates: optimiser steps.
        batch_size: transitions an update, over all processes.
        optimizer: learning rate, its schedule, averaged weights.
        init_from: a model folder, or ``zoo:NAME``, whose weights training starts from; new ones if not given.
        self_collection: how the model gathers more data with its own policies on the way; not at all if not given.
        inference_set: transitions shipped with the model, for an oracle to label.
        evaluation: where, how often and on which tasks the model is tried while it trains.
        hardware: devices, precision, compilation, where batches are drawn.
        save_minutes: how often the training state is written.
        trainer: further arguments of Lightning's Trainer, e.g. ``{gradient_clip_val: 1.0, max_time: "00:08:00:00"}``.
            An epoch of the trainer is ``evaluation.every`` updates.
        callbacks: of Lightning, after ours; losses, ``health/NAME``, ``oracle_return/TASK`` and ``oracle_return/mean``
            can be monitored.
        logger: ``tensorboard``, ``csv``, ``wandb``, ``mlflow``, or loggers of Lightning by class and arguments.
        seed: of batches, networks and noise.

    Raises:
        ValueError: if a number is not positive, ``batch_size`` cannot be shared equally, or environments and models are
            of another body than the data.
        FileNotFoundError: if there is no model to start from.

    Example:
        ``bfmkit run pretrain_walker``
    """

    def __init__(
        self,
        dataset: Dataset,
        objective: Deferred[Objective],
        updates: PositiveInt,
        batch_size: Annotated[int, Ge(2)] = 1024,
        optimizer: OptimizerOptions = OptimizerOptions(),  # noqa: B008
        init_from: str | None = None,
        self_collection: SelfCollection | None = None,
        inference_set: PositiveInt = 10_000,
        evaluation: EvaluationOptions = EvaluationOptions(),  # noqa: B008
        hardware: HardwareOptions = HardwareOptions(),  # noqa: B008
        save_minutes: PositiveFloat = 3.0,
        trainer: dict[str, Any] | None = None,
        callbacks: list[LightningClass] | None = None,
        logger: list[str | LightningClass] | None = None,
        seed: int = 0,
    ) -> None:
        self.processes, self.nodes = hardware.processes, hardware.nodes
        if batch_size % self.processes or batch_size < 2 * self.processes:
            raise ValueError(f"batch_size {batch_size} cannot be shared equally by {self.processes} processes")
        if evaluation.environment is not None:
            environment = evaluation.environment.fitted_to(dataset.spec, "the dataset")
            for task in evaluation.tasks:
                environment.spec.require_task(task)
            evaluation = replace(evaluation, environment=environment)
        self.evaluation = replace(evaluation, tasks=evaluation.tasks or list(dataset.spec.tasks))
        if self_collection is not None:
            environment = self_collection.environment.fitted_to(dataset.spec, "the dataset")
            self_collection = replace(self_collection, environment=environment)
        self.self_collection = self_collection
        self.init_from, self._start_model = init_from, None if init_from is None else load_model(resolve(init_from))
        if self._start_model is not None:
            dataset.spec.require_compatible(self._start_model.environment_spec, f"the model {init_from}")
        self.dataset, self.objective = dataset, objective
        self.updates, self.batch_size, self.seed, self.inference_set = updates, batch_size, seed, inference_set
        self.optimizer, self.hardware, self.save_minutes = optimizer, hardware, save_minutes
        self.trainer, self.callbacks = dict(trainer or {}), list(callbacks or [])
        if self.trainer:
            require_trainer_arguments(self.trainer)
        for callback in self.callbacks:
            import lightning

            callback.build(CALLBACKS, lightning.Callback)
        if logger is not None:
            require_loggers([each for each in logger if isinstance(each, str)])
            self.loggers = logger

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Train, evaluate, and write the model folder; together with other processes if there are to be any."""
        with float32_products(self.hardware.precision), shared_machine(self.hardware.devices):
            return self._train(out, device)

    def _train(self, out: Path, device: torch.device) -> dict[str, Any]:
        # Lightning takes seconds to import, and checking a recipe of this job needs none of it.
        from bfmkit.training.data_module import TransitionData
        from bfmkit.training.lightning_module import Pretraining

        keep_freed_memory()
        state = out / "checkpoints" / "last.ckpt"
        state.parent.mkdir(exist_ok=True)
        objective, collection, hardware = self._objective(), self.self_collection, self.hardware
        every, health_every = self.evaluation.every, self.evaluation.health_every
        data = TransitionData(
            self.dataset, self.updates, self.batch_size, self.seed, out, every, hardware.updates_per_step,
            [every, health_every, *([] if collection is None else [collection.every])], collection,
            objective.future_discount, None if hardware.data_device == "auto" else hardware.data_device == "device",
            state.exists(),
        )  # fmt: skip
        module = Pretraining(
            objective, self.updates, self.optimizer, out,
            origin={"objective": self.objective.to_dict(), "spec": self.dataset.spec.to_dict()},
            hardware=replace(hardware, cuda_graph=hardware.cuda_graph and device.type == "cuda"),
            **{name: value for name, value in self.trainer.items() if name in CLIPPING},
        )  # fmt: skip
        if is_first_process():
            self._draw_rewards(objective, out)
        outcome = _Outcome(self, module, data, out)
        trainer = self._trainer(out, device, module, outcome)
        self._fit(trainer, module, data, state)
        if not trainer.is_global_zero:
            return {}
        labelled = outcome.latest()
        outcome.save(out / "model", labelled)
        return outcome.facts() | self._judged(outcome.model, outcome.tasks, labelled, out)

    def _objective(self) -> Objective:
        """The objective, with what it takes from data and from the model that training starts from."""
        torch.manual_seed(self.seed)
        objective = self.objective.build(self.dataset.spec)
        rows = self._rows(len(self.dataset), SCALE_SAMPLE, "observation scale")
        objective.prepare(self.dataset.read_keys(rows, ["observation"])["observation"].cpu())
        if self._start_model is not None:
            try:
                objective.start_from(self._start_model)
            except RuntimeError as error:
                raise JobError(f"the model {self.init_from} is not the one this recipe trains: {error}") from error
        return objective

    def _draw_rewards(self, objective: Objective, out: Path) -> None:
        drawn = objective.draw_rewards(self.dataset.read(self._rows(len(self.dataset), REWARD_SAMPLE, "drawn rewards")))
        if drawn is not None:
            entries = {name: values.numpy(force=True) for name, values in drawn.entries.items()}
            draw_rewards(out / "figures" / "drawn_rewards.png", entries, drawn.rewards.numpy(force=True))

    def _trainer(self, out: Path, device: torch.device, module: Pretraining, outcome: _Outcome) -> lightning.Trainer:
        import lightning
        from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
        from lightning.pytorch.utilities.exceptions import MisconfigurationException
        from lightning.pytorch.utilities.rank_zero import rank_zero_only

        from bfmkit.training.callbacks import (
            CheckpointCallback,
            CollectionCallback,
            PeriodicEvaluation,
            ProgressCallback,
        )

        if self.processes == 1:
            # It was read from the variables of schedulers and torchrun when Lightning was imported.
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
        # Its hints on accelerators and on products of its makers are for whoever writes Trainer code.
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        bar, collection = ProgressCallback(out, self.updates), self.self_collection
        outcome.say = bar.say
        chosen = [each.build(CALLBACKS, lightning.Callback) for each in self.callbacks]
        for callback in chosen:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(out / "checkpoints")
        callbacks = [
            bar,
            *([] if collection is None else
              [CollectionCallback(collection, SelfCollector(collection, module.objective, self.seed), self.updates)]),
            self._health(out, bar.say),
            PeriodicEvaluation(self.evaluation.every, self.updates, outcome.evaluate),
            *chosen,
            # A state must not stand for an evaluation that never came to its end.
            CheckpointCallback(out / "checkpoints" / "last.ckpt", self.save_minutes),
        ]  # fmt: skip
        settings = {
            **cluster_arguments(device, self.hardware.devices, self.hardware.nodes, module.leaves_parameters_idle),
            # Here, Lightning looks for states of its own before it looks at ours; nobody else writes to this folder.
            "default_root_dir": out / "checkpoints",
            "max_epochs": math.ceil(self.updates / self.evaluation.every),
            "logger": self._loggers(out),
            "callbacks": callbacks,
            "enable_progress_bar": any(isinstance(each, ProgressBar) for each in chosen),
            "enable_model_summary": False,
            **{name: value for name, value in self.trainer.items() if name not in CLIPPING},
        }
        try:
            return lightning.Trainer(**settings)
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise JobError(f"Lightning's Trainer refuses the recipe's trainer: {error}") from error

    def _loggers(self, out: Path) -> list[Logger]:
        from lightning.pytorch.loggers import Logger

        if self.processes > 1 and not is_first_process():
            return []
        return [
            lightning_logger(each, out) if isinstance(each, str) else each.build(LOGGERS, Logger)
            for each in self.loggers
        ]

    def _fit(self, trainer: lightning.Trainer, module: Pretraining, data: TransitionData, state: Path) -> None:
        # Updates, rounds of self-collection and evaluations are not torn apart by a signal: the state is saved after
        # them.
        with warnings.catch_warnings(), held():
            # Lightning 2.6 asks torch 2.13 a question in a way that torch is about to drop.
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            # What is logged every so many updates is ours to say.
            warnings.filterwarnings("ignore", message=".*smaller than the logging interval")
            status = "failed"
            try:
                trainer.fit(module, datamodule=data, ckpt_path=state if state.exists() else None, weights_only=True)
                status = "success"
            finally:
                finish(trainer.loggers, status)
        if trainer.world_size > 1:
            distributed.destroy_process_group()

    def _judged(self, model: BFM, tasks: dict[str, Any], labelled: TensorDictBase, out: Path) -> dict[str, Any]:
        """Whether the model is good: its oracle's returns beside those of random policies, and its health; curves."""
        rows = list(read_metrics(out))
        bad = next((row["bad"] for row in reversed(rows) if "bad" in row), None)
        floors: dict[str, float] = {}
        if self.evaluation.environment is not None:
            floor = lookup(Agent, "random")()
            returns = self._returns(model, labelled, floor)
            floors = {task: float(each.mean()) for task, each in returns.items()}
            width = max(len(task) for task in tasks) + 2
            sys.stderr.write(f"{'task':<{width}}{'oracle':>10}{'floor':>10}\n")
            for task, row in tasks.items():
                beaten = "" if row["oracle_return"] > floors[task] else "   not above random policies"
                sys.stderr.write(f"{task:<{width}}{row['oracle_return']:>10.1f}{floors[task]:>10.1f}{beaten}\n")
            count = self.evaluation.episodes
            episodes = f"{count} episode{'' if count == 1 else 's'}"
            sys.stderr.write(f"oracle: told the task; floor: random policies; {episodes} a task.\n")
        if bad is not None:
            said = f"bad: {', '.join(bad)} (bfmkit run inspect says what that means)" if bad else "nothing is bad"
            sys.stderr.write(f"health: {said}\n")
        draw_training(out / "figures", rows, floors)
        return {"floor_returns": floors, "bad": bad}

    def _health(self, out: Path, say: Callable[[str], None]) -> lightning.Callback:
        from bfmkit.evaluation.diagnostics.callback import HealthReport

        # Of the data given, which are there from the first report to the last.
        sample = self.dataset.read(self._rows(len(self.dataset), HEALTH_SAMPLE, "health"))
        rewards: dict[str, torch.Tensor] = {}
        if self.evaluation.environment is not None:
            labelled = label(sample, self.evaluation.environment, self.evaluation.tasks)["next", "reward"]
            rewards = dict(zip(self.evaluation.tasks, labelled.unbind(-1), strict=True))
        return HealthReport(self.evaluation.health_every, sample, rewards, out, self.seed, say)

    def _rows(self, size: int, count: int, stream: str) -> torch.Tensor:
        """Different transitions of ``size``, at most ``count``, fixed by the seed."""
        return torch.from_numpy(generator(self.seed, stream, 0).permutation(size)[:count].copy())

    def _evaluate(
        self, model: BFM, labelled: TensorDictBase, out: Path, update: int, first: bool = True
    ) -> dict[str, Any]:
        environment = self.evaluation.environment
        if environment is None or not first:
            return {}
        rows = {
            task: {
                "oracle_return": float(each.mean()),
                "standard_deviation": float(each.std(correction=0)),
                "episodes": len(each),
                "episode_steps": environment.spec.episode_steps,
            }
            for task, each in self._returns(model, labelled).items()
        }
        if not any(row["update"] == update and "oracle_return" in row for row in read_metrics(out)):
            means = {task: row["oracle_return"] for task, row in rows.items()}
            append_metrics(out, {"update": update, "oracle_return": means})
        return rows

    def _returns(self, model: BFM, labelled: TensorDictBase, agent: Agent | None = None) -> dict[str, torch.Tensor]:
        """Task -> returns of the oracle, or of another agent, in the evaluation's episodes."""
        evaluation = self.evaluation
        assert evaluation.environment is not None
        seeds = range(evaluation.episodes)
        return oracle_returns(model, evaluation.environment, labelled, evaluation.tasks, seeds, agent)


class _Outcome:
    """What a training has come to: evaluations of its model, model folders, facts for summary and card."""

    def __init__(self, job: PretrainJob, module: Pretraining, data: TransitionData, out: Path) -> None:
        self._job, self._module, self._data, self._out = job, module, data, out
        self.model = module.model
        self.say: Callable[[str], None] = lambda _: None
        self.tasks: dict[str, Any] = {}
        self._evaluated: tuple[int, TensorDictBase] | None = None

    def facts(self) -> dict[str, Any]:
        given = len(self._job.dataset)
        return {
            "updates": self._module.update,
            "transitions": given,
            "data": self._job.dataset.provenance(),
            "practised": len(self._data.pool) - given,
            "seconds": self._module.seconds,
            "tasks": self.tasks,
        }

    def save(self, folder: Path, labelled: TensorDictBase) -> None:
        model, node = frozen_copy(self.model).cpu(), self._job.objective.to_dict()["bfm"]
        save_model(folder, model, node, labelled, write_card(self._job.dataset.spec, self._out, self.facts()))

    def evaluate(self, update: int) -> dict[str, float]:
        """Task -> mean return of the oracle."""
        job, pool, first = self._job, self._data.pool, self._module.trainer.is_global_zero
        labelled = pool.read(job._rows(len(pool), job.inference_set, "inference set"))
        # A copy, for what is fitted to the data here is no part of the training.
        self.model = frozen_copy(self._module.model)
        self._module.objective.finish(self.model, labelled.to(next(self.model.parameters()).device))
        self.tasks = job._evaluate(self.model, labelled, self._out, update, first)
        self._evaluated = update, labelled
        means = {task: row["oracle_return"] for task, row in self.tasks.items()}
        if means:
            mean = f" (mean {sum(means.values()) / len(means):.0f})" if len(means) > 1 else ""
            listed = ", ".join(f"{task} {value:.0f}" for task, value in means.items())
            self.say(f"update {update:,}, oracle's return: {listed}{mean}")
        if job.evaluation.keep_models and first:
            self.save(self._out / "models" / f"update_{update}", labelled)
        return means

    def latest(self) -> TensorDictBase:  # batch (n,)
        """The inference set of the model as it is, evaluated; anew where a finished training was resumed."""
        if self._evaluated is None or self._evaluated[0] != self._module.update:
            self.evaluate(self._module.update)
        assert self._evaluated is not None
        return self._evaluated[1]
