"""Job ``pretrain``: train a behaviour foundation model on reward-free transitions."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from tensordict import TensorDictBase
from torch import distributed

from bfmkit.data.sampling import TransitionBatches, UpdateGroups
from bfmkit.data.transition_pool import TransitionPool
from bfmkit.environments.labels import label
from bfmkit.inference.oracle_returns import oracle_returns
from bfmkit.interfaces import Agent, Dataset, Environment, Job, JobError, Objective
from bfmkit.models.card import write_card
from bfmkit.models.folder import load_model, save_model
from bfmkit.models.path import resolve
from bfmkit.recipe.deferred import Deferred
from bfmkit.registry import lookup, register
from bfmkit.report.plots.training import draw_training
from bfmkit.runs.run_directory import append_metrics, read_metrics
from bfmkit.training.allocator import keep_freed_memory
from bfmkit.training.ema import frozen_copy
from bfmkit.training.precision import Precision, float32_products
from bfmkit.training.self_collection import SelfCollection, SelfCollector
from bfmkit.utils.rng import generator
from bfmkit.utils.stop_signals import held

if TYPE_CHECKING:
    import lightning

    from bfmkit.training.launcher import Place
    from bfmkit.training.lightning_module import Pretraining

SCALE_SAMPLE = 100_000
HEALTH_SAMPLE = 2_000
APART = 1_000_003
"""From one process's seed to the next."""


@register(Job, "pretrain")
class PretrainJob(Job):
    """Trains one objective on one dataset, with Lightning; writes a model folder to ``out/model``.

    Args:
        dataset: what to train on.
        objective: the losses, with the model in them.
        updates: optimiser steps.
        batch_size: transitions an update.
        learning_rate: of Adam.
        lr_schedule: of the learning rate: ``constant`` or ``cosine``.
        warmup: updates over which the learning rate rises linearly from nothing, for going on from a trained model.
        ema_decay: decay of averaged weights, which are then what is evaluated and shipped; none if not given.
        init_from: a model folder, or ``zoo:NAME``, whose weights training starts from; new ones if not given.
        self_collection: how the model gathers more data with its own policies on the way; not at all if not given.
        inference_set: transitions shipped with the model, for an oracle to label.
        evaluation: an environment to try the model in while it trains; its rewards never influence the training.
        evaluate_every: updates between evaluations; there is one at the end in any case.
        evaluation_episodes: episodes for each task, all different.
        evaluation_tasks: names or typed rewards to try the model in; none given: the tasks of the data's body.
        keep_evaluated: whether to keep each model that was evaluated, as ``models/update_N``. None is selected.
        health_every: updates between health reports (rank and conditioning of the features, consistency of ψ), which
            change nothing; with an ``evaluation``, also how well the features express its tasks' rewards.
        save_minutes: how often the training state is written.
        data_device: where batches are drawn: on the ``device``, from the ``disk`` (the memory map), or ``auto``: on the
            device if the data fit there. The batches are the same.
        updates_per_step: updates that the trainer makes at a time, at most; its own work is done once for all of them.
            It changes no number.
        precision: of products in the losses: ``float32``, ``tf32`` (float32 with factors of 19 bits, on GPUs that have
            it) or ``bf16``; weights and Adam's moments stay float32.
        compile: whether to compile the losses, which pays on a GPU and not on a CPU. Noise is drawn in another way, so
            the numbers are others.
        cuda_graph: whether to record an update as a CUDA graph and replay it; on a CPU it changes nothing.
        devices: processes on this machine that train together, one a device (CPUs count as one; several processes on a
            CPU are for trying out). ``batch_size`` is that of all together.
        nodes: machines, each running the same command with MASTER_ADDR, MASTER_PORT and NODE_RANK set.
        seed: of batches, networks and noise.

    Raises:
        ValueError: if a number is not positive, ``ema_decay`` lies outside (0, 1), ``batch_size`` cannot be shared
            equally, ``cuda_graph`` is asked of several devices, or environments and models are of another body than the
            data.
        FileNotFoundError: if there is no model to start from.
    """

    def __init__(
        self,
        dataset: Dataset,
        objective: Deferred[Objective],
        updates: int,
        batch_size: int = 1024,
        learning_rate: float = 1e-4,
        lr_schedule: Literal["constant", "cosine"] = "constant",
        warmup: int = 0,
        ema_decay: float | None = None,
        init_from: str | None = None,
        self_collection: SelfCollection | None = None,
        inference_set: int = 10_000,
        evaluation: Environment | None = None,
        evaluate_every: int = 10_000,
        evaluation_episodes: int = 5,
        evaluation_tasks: list[str] | None = None,
        keep_evaluated: bool = False,
        health_every: int = 1000,
        save_minutes: float = 3.0,
        data_device: Literal["auto", "device", "disk"] = "auto",
        updates_per_step: int = 1,
        precision: Precision = "float32",
        compile: bool = False,
        cuda_graph: bool = False,
        devices: int = 1,
        nodes: int = 1,
        seed: int = 0,
    ) -> None:
        numbers = {"updates": updates, "batch_size": batch_size, "learning_rate": learning_rate,
                   "inference_set": inference_set, "evaluate_every": evaluate_every,
                   "evaluation_episodes": evaluation_episodes, "health_every": health_every,
                   "save_minutes": save_minutes, "updates_per_step": updates_per_step,
                   "devices": devices, "nodes": nodes}  # fmt: skip
        for name, value in numbers.items():
            if value <= 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if batch_size < 2:
            raise ValueError("batch_size must be at least 2: losses compare the transitions of a batch")
        if batch_size % (devices * nodes) or batch_size < 2 * devices * nodes:
            raise ValueError(f"batch_size {batch_size} cannot be shared equally by {devices * nodes} processes")
        if cuda_graph and devices * nodes > 1:
            raise ValueError("cuda_graph works on one device: a recorded update does not wait for other processes")
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, got {ema_decay}")
        if evaluation is not None:
            evaluation = evaluation.fitted_to(dataset.spec, "the dataset")
            for task in evaluation_tasks or []:
                evaluation.spec.require_task(task)
        self.evaluation_tasks = list(evaluation_tasks or dataset.spec.tasks)
        self.keep_evaluated = keep_evaluated
        if self_collection is not None:
            self_collection = replace(
                self_collection, environment=self_collection.environment.fitted_to(dataset.spec, "the dataset")
            )
        self.init_from, self._start_model = init_from, None if init_from is None else load_model(resolve(init_from))[0]
        if self._start_model is not None:
            dataset.spec.require_compatible(self._start_model.environment_spec, f"the model {init_from}")
        self.self_collection = self_collection
        self.dataset, self.objective, self.evaluation = dataset, objective, evaluation
        self.updates, self.batch_size, self.seed = updates, batch_size, seed
        self.learning_rate = learning_rate
        if warmup < 0:
            raise ValueError(f"warmup must not be negative, got {warmup}")
        self.warmup = warmup
        self.lr_schedule, self.ema_decay, self.inference_set = lr_schedule, ema_decay, inference_set
        self.evaluate_every, self.evaluation_episodes = evaluate_every, evaluation_episodes
        self.health_every = health_every
        self.save_minutes, self.data_device, self.updates_per_step = save_minutes, data_device, updates_per_step
        self.precision, self.compile, self.cuda_graph = precision, compile, cuda_graph
        self.devices, self.nodes = devices, nodes

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Train, evaluate, and write the model folder; together with other processes if there are to be any."""
        from bfmkit.training.launcher import companions, first_place

        place = first_place(self.devices, self.nodes)
        with float32_products(self.precision):
            if place.processes == 1:
                return self._train(out, device, place)
            # Data that are yet to be converted are converted here, once.
            len(self.dataset)
            with companions(place, self._train, out, device):
                return self._train(out, device, place)

    def _train(self, out: Path, device: torch.device, place: Place) -> dict[str, Any]:
        # Lightning takes seconds to import, and checking a recipe of this job needs none of it.
        import lightning
        from lightning.pytorch.loggers import TensorBoardLogger
        from lightning.pytorch.utilities.rank_zero import rank_zero_only

        from bfmkit.training.callbacks import (
            CheckpointCallback,
            CollectionCallback,
            PeriodicEvaluation,
            ProgressCallback,
        )
        from bfmkit.training.lightning_module import Pretraining

        device = place.device(device)
        keep_freed_memory()
        torch.manual_seed(self.seed)
        objective = self.objective.build(self.dataset.spec)
        self_collection, given = self.self_collection, len(self.dataset)
        room = 0 if self_collection is None else self_collection.rounds(self.updates - 1) * self_collection.block
        # Each process keeps its own copy of what was practised: they need not share a disk.
        folder = out / "self_collection" if place.rank == 0 else out / "checkpoints" / f"self_collection-{place.rank}"
        on_device = None if self.data_device == "auto" else self.data_device == "device"
        pool = TransitionPool(self.dataset, device, room, folder, on_device)
        scaled = pool.batch(self._rows(given, SCALE_SAMPLE, "observation scale"))["observation"]
        objective.prepare(scaled.cpu())
        if self._start_model is not None:
            try:
                objective.start_from(self._start_model)
            except RuntimeError as error:
                raise JobError(f"the model {self.init_from} is not the one this recipe trains: {error}") from error
        if place.rank > 0:
            # The same model, and noise of its own.
            torch.manual_seed(self.seed + APART * place.rank)

        def size(number: int) -> int:
            # The update right after a round draws from what there was before it: that batch may be drawn ahead.
            return (
                given
                if self_collection is None
                else given + self_collection.rounds(max(number - 1, 0)) * self_collection.block
            )

        share = (place.rank, place.processes)
        batches = TransitionBatches(pool, self.batch_size, self.seed, size, objective.future_discount, share)
        module = Pretraining(
            objective, self.updates, self.learning_rate, self.lr_schedule, self.ema_decay, out, batches,
            {"objective": self.objective.to_dict(), "spec": self.dataset.spec.to_dict()}, self.precision, self.compile,
            self.cuda_graph and device.type == "cuda", self.warmup,
        )  # fmt: skip
        state = out / "checkpoints" / "last.ckpt"
        state.parent.mkdir(exist_ok=True)
        if not state.exists():
            pool.rewind(0)

        bar = ProgressCallback(out, self.updates)

        def facts(tasks: dict[str, Any]) -> dict[str, Any]:
            return {
                "updates": module.update,
                "transitions": given,
                "data": self.dataset.provenance(),
                "practised": len(pool) - given,
                "seconds": module.seconds,
                "tasks": tasks,
            }

        def save(folder: Path, tasks: dict[str, Any], labelled: TensorDictBase) -> None:
            model, node = frozen_copy(module.model).cpu(), self.objective.to_dict()["bfm"]
            save_model(folder, model, node, labelled, write_card(self.dataset.spec, out, facts(tasks)))

        def evaluate(update: int) -> tuple[dict[str, Any], TensorDictBase]:
            labelled = pool.read(self._rows(len(pool), self.inference_set, "inference set"))
            tasks = self._evaluate(module, labelled, out, update, place)
            if tasks:
                self._tell(update, tasks, bar.say, out)
            if self.keep_evaluated and place.rank == 0:
                save(out / "models" / f"update_{update}", tasks, labelled)
            return tasks, labelled

        practising: list[lightning.Callback] = []
        if self_collection is not None:
            practising = [
                CollectionCallback(
                    self_collection, SelfCollector(self_collection, objective, self.seed), pool, self.updates
                )
            ]
        # It was read from the variables of schedulers and torchrun when Lightning was imported.
        rank_zero_only.rank = place.rank  # type: ignore[attr-defined]
        # Its hints on accelerators and on products of its makers are for whoever writes Trainer code.
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=_devices(device, place),
            num_nodes=place.nodes,
            strategy=place.strategy(device),
            plugins=place.environment(),
            # Here, Lightning looks for states of its own before it looks at ours; nobody else writes to this folder.
            default_root_dir=state.parent,
            # Updates are counted by us; the groups of them come to an end.
            max_epochs=1,
            logger=TensorBoardLogger(out, name=None, version="tensorboard") if place.rank == 0 else False,
            callbacks=[
                bar,
                *practising,
                *self._health(pool, given, out, place, bar.say),
                # Before the state is written: a state must not stand for an evaluation that never came to its end.
                PeriodicEvaluation(self.evaluate_every, self.updates, evaluate),
                CheckpointCallback(state, self.save_minutes),
            ],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        stops = [self.evaluate_every, self.health_every, *([] if self_collection is None else [self_collection.every])]
        groups = UpdateGroups(self.updates, self.updates_per_step, stops, lambda: module.update)
        # Updates, rounds of self-collection and evaluations are not torn apart by a signal: the state is saved after
        # them.
        with warnings.catch_warnings(), held():
            # Lightning 2.6 asks torch 2.13 a question in a way that torch is about to drop.
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            trainer.fit(module, groups, ckpt_path=state if state.exists() else None, weights_only=True)
        if place.processes > 1:
            distributed.destroy_process_group()
        if place.rank > 0:
            return {}
        tasks, labelled = evaluate(self.updates)
        save(out / "model", tasks, labelled)
        return facts(tasks) | self._judged(module, tasks, labelled, out)

    def _tell(self, update: int, tasks: dict[str, Any], say: Callable[[str], None], out: Path) -> None:
        """Returns of an evaluation, on the terminal and in TensorBoard."""
        from torch.utils.tensorboard import SummaryWriter

        means = {task: row["oracle_return"] for task, row in tasks.items()}
        mean = sum(means.values()) / len(means)
        say(f"update {update:,}, oracle's return: {', '.join(f'{task} {value:.0f}' for task, value in means.items())}"
            + (f" (mean {mean:.0f})" if len(means) > 1 else ""))  # fmt: skip
        with SummaryWriter(str(out / "tensorboard")) as log:
            for name, value in {**means, "mean": mean}.items():
                log.add_scalar(f"oracle_return/{name}", value, update)

    def _judged(
        self, module: Pretraining, tasks: dict[str, Any], labelled: TensorDictBase, out: Path
    ) -> dict[str, Any]:
        """Whether the model is good: its oracle's returns beside those of random policies, and its health; curves."""
        rows = list(read_metrics(out))
        bad = next((row["bad"] for row in reversed(rows) if "bad" in row), None)
        floors: dict[str, float] = {}
        if self.evaluation is not None:
            seeds, names = range(self.evaluation_episodes), list(tasks)
            floor = lookup(Agent, "random")()
            returns = oracle_returns(module.model, self.evaluation, labelled, names, seeds, floor)
            floors = {task: float(each.mean()) for task, each in returns.items()}
            width = max(len(task) for task in tasks) + 2
            sys.stderr.write(f"{'task':<{width}}{'oracle':>10}{'floor':>10}\n")
            for task, row in tasks.items():
                beaten = "" if row["oracle_return"] > floors[task] else "   not above random policies"
                sys.stderr.write(f"{task:<{width}}{row['oracle_return']:>10.1f}{floors[task]:>10.1f}{beaten}\n")
            sys.stderr.write(f"oracle: told the task; floor: random policies; {len(seeds)} episodes a task.\n")
        if bad is not None:
            said = f"bad: {', '.join(bad)} (bfmkit run inspect says what that means)" if bad else "nothing is bad"
            sys.stderr.write(f"health: {said}\n")
        draw_training(out / "figures", rows, floors)
        return {"floor_returns": floors, "bad": bad}

    def _health(
        self, pool: TransitionPool, given: int, out: Path, place: Place, say: Callable[[str], None]
    ) -> list[lightning.Callback]:
        if place.rank > 0:
            return []
        from bfmkit.evaluation.diagnostics.callback import HealthReport

        # Of the data given, which are there from the first report to the last.
        sample = pool.read(self._rows(given, HEALTH_SAMPLE, "health"))
        rewards: dict[str, torch.Tensor] = {}
        if self.evaluation is not None:
            tasks = self.evaluation_tasks
            labelled = label(sample, self.evaluation, tasks)["next", "reward"]
            rewards = dict(zip(tasks, labelled.unbind(-1), strict=True))
        return [HealthReport(self.health_every, sample, rewards, out, self.seed, say)]

    def _rows(self, size: int, count: int, stream: str) -> torch.Tensor:
        """Different transitions of ``size``, at most ``count``, fixed by the seed."""
        return torch.from_numpy(generator(self.seed, stream, 0).permutation(size)[:count].copy())

    def _evaluate(
        self, module: Pretraining, labelled: TensorDictBase, out: Path, update: int, place: Place | None = None
    ) -> dict[str, Any]:
        model = module.model
        module.objective.finish(model, labelled.to(next(model.parameters()).device))
        if self.evaluation is None or (place is not None and place.rank > 0):
            return {}
        tasks = self.evaluation_tasks
        returns = oracle_returns(model, self.evaluation, labelled, tasks, range(self.evaluation_episodes))
        rows = {
            task: {
                "oracle_return": float(each.mean()),
                "standard_deviation": float(each.std(correction=0)),
                "episodes": len(each),
                "episode_steps": self.evaluation.spec.episode_steps,
            }
            for task, each in returns.items()
        }
        if not any(row["update"] == update and "oracle_return" in row for row in read_metrics(out)):
            means = {task: row["oracle_return"] for task, row in rows.items()}
            append_metrics(out, {"update": update, "oracle_return": means})
        return rows


def _devices(device: torch.device, place: Place) -> int | list[int]:
    if device.type != "cuda":
        return place.devices
    first = (device.index or 0) - place.local
    return list(range(first, first + place.devices))
