"""Job ``pretrain``: train a behaviour foundation model on reward-free transitions."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensordict import TensorDictBase
from torch.utils.data import DataLoader

from bfmkit.deferred import Deferred
from bfmkit.evaluation import oracle_returns
from bfmkit.interfaces import Dataset, Environment, Job, JobFailed, Objective
from bfmkit.model_card import write_card
from bfmkit.model_folder import load_model, save_model
from bfmkit.noise import generator
from bfmkit.practice import Practice, PracticeGround
from bfmkit.pretraining import Pretraining
from bfmkit.pretraining_callbacks import PeriodicEvaluation, Practising, TrainingState, UpdateBar
from bfmkit.registry import register
from bfmkit.run_directory import append_metrics, read_metrics
from bfmkit.sampling import TransitionBatches
from bfmkit.transition_pool import TransitionPool
from bfmkit.zoo import resolve

SCALE_SAMPLE = 100_000


@register(Job, "pretrain")
class PretrainJob(Job):
    """Trains one objective on one dataset, with Lightning; writes a model folder to ``out/model``.

    Args:
        dataset: what to train on; it is copied to the training device.
        objective: the losses, with the model in them.
        updates: optimiser steps.
        batch_size: transitions an update.
        learning_rate: of Adam.
        decay: of the learning rate: ``constant`` or ``cosine``.
        averaging: decay of averaged weights, which are then what is evaluated and shipped; none if not given.
        start: a model folder, or ``zoo:NAME``, whose weights training starts from; new ones if not given.
        practice: how the model gathers more data with its own policies on the way; not at all if not given.
        inference_set: transitions shipped with the model, for an oracle to label.
        evaluation: an environment to try the model in while it trains; its rewards never influence the training.
        evaluate_every: updates between evaluations; there is one at the end in any case.
        evaluation_episodes: episodes for each task, all different.
        save_minutes: how often the training state is written.
        seed: of batches, networks and noise.

    Raises:
        ValueError: if a number is not positive, ``averaging`` lies outside (0, 1), or environments and models are of
            another body than the data.
        FileNotFoundError: if there is no model to start from.
    """

    def __init__(
        self,
        dataset: Dataset,
        objective: Deferred[Objective],
        updates: int,
        batch_size: int = 1024,
        learning_rate: float = 1e-4,
        decay: Literal["constant", "cosine"] = "constant",
        averaging: float | None = None,
        start: str | None = None,
        practice: Practice | None = None,
        inference_set: int = 10_000,
        evaluation: Environment | None = None,
        evaluate_every: int = 10_000,
        evaluation_episodes: int = 5,
        save_minutes: float = 3.0,
        seed: int = 0,
    ) -> None:
        numbers = {"updates": updates, "batch_size": batch_size, "learning_rate": learning_rate,
                   "inference_set": inference_set, "evaluate_every": evaluate_every,
                   "evaluation_episodes": evaluation_episodes, "save_minutes": save_minutes}  # fmt: skip
        for name, value in numbers.items():
            if value <= 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if batch_size < 2:
            raise ValueError("batch_size must be at least 2: losses compare the transitions of a batch")
        if averaging is not None and not 0 < averaging < 1:
            raise ValueError(f"averaging must lie between 0 and 1, got {averaging}")
        if evaluation is not None:
            dataset.spec.require_compatible(evaluation.spec, "the evaluation environment")
        if practice is not None:
            dataset.spec.require_compatible(practice.environment.spec, "the environment of practice")
        self.start, self._start_model = start, None if start is None else load_model(resolve(start))[0]
        if self._start_model is not None:
            dataset.spec.require_compatible(self._start_model.spec, f"the model {start}")
        self.practice = practice
        self.dataset, self.objective, self.evaluation = dataset, objective, evaluation
        self.updates, self.batch_size, self.seed = updates, batch_size, seed
        self.learning_rate = learning_rate
        self.decay, self.averaging, self.inference_set = decay, averaging, inference_set
        self.evaluate_every, self.evaluation_episodes = evaluate_every, evaluation_episodes
        self.save_minutes = save_minutes

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Train, evaluate, and write the model folder."""
        torch.manual_seed(self.seed)
        objective = self.objective.build(self.dataset.spec)
        practice, given = self.practice, len(self.dataset)
        room = 0 if practice is None else practice.rounds(self.updates - 1) * practice.block
        pool = TransitionPool(self.dataset, device, room, out / "practice")
        scaled = pool.batch(self._rows(given, SCALE_SAMPLE, "observation scale"))["observation"]
        objective.prepare(scaled.cpu())
        if self._start_model is not None:
            try:
                objective.start_from(self._start_model)
            except RuntimeError as error:
                raise JobFailed(f"the model {self.start} is not the one this recipe trains: {error}") from error
        module = Pretraining(objective, self.updates, self.learning_rate, self.decay, self.averaging, out)
        state = out / "checkpoints" / "last.ckpt"
        state.parent.mkdir(exist_ok=True)
        if not state.exists():
            pool.rewind(0)

        def evaluate(update: int) -> tuple[dict[str, Any], TensorDictBase]:
            labelled = pool.read(self._rows(len(pool), self.inference_set, "inference set"))
            return self._evaluate(module, labelled, out, update), labelled

        practising: list[lightning.Callback] = []
        if practice is not None:
            practising = [Practising(practice, PracticeGround(practice, objective, self.seed), pool)]
        # Its hints on accelerators and on products of its makers are for whoever writes Trainer code.
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            max_steps=self.updates,
            max_epochs=-1,
            logger=TensorBoardLogger(out, name=None, version="tensorboard"),
            callbacks=[
                UpdateBar(out, self.updates),
                *practising,
                # Before the state is written: a state must not stand for an evaluation that never came to its end.
                PeriodicEvaluation(self.evaluate_every, evaluate),
                TrainingState(state, self.save_minutes),
            ],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

        def size(number: int) -> int:
            # Lightning draws one batch ahead, when the round before it has not been played yet.
            return given if practice is None else given + practice.rounds(max(number - 1, 0)) * practice.block

        batches = TransitionBatches(
            pool, self.batch_size, self.seed, lambda: int(module.update), size, objective.future_discount
        )
        # A loader draws a seed when it starts, and it must not come from the generator that the noise comes from.
        loader = DataLoader(batches, batch_size=None, collate_fn=_as_it_is, generator=torch.Generator())
        with warnings.catch_warnings():
            # Lightning 2.6 asks torch 2.13 a question in a way that torch is about to drop.
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            # One process that draws from memory is what we want: there is nothing to load.
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            trainer.fit(module, loader, ckpt_path=state if state.exists() else None, weights_only=True)
        tasks, labelled = evaluate(self.updates)
        model = module.model.cpu()
        node = self.objective.to_dict()["bfm"]
        summary = {
            "updates": self.updates,
            "transitions": given,
            "practised": len(pool) - given,
            "seconds": module.seconds.item(),
            "tasks": tasks,
        }
        save_model(out / "model", model, node, labelled, write_card(self.dataset.spec, out, summary))
        return summary

    def _rows(self, size: int, count: int, stream: str) -> torch.Tensor:
        """Different transitions of ``size``, at most ``count``, fixed by the seed."""
        return torch.from_numpy(generator(self.seed, stream, 0).permutation(size)[:count].copy())

    def _evaluate(self, module: Pretraining, labelled: TensorDictBase, out: Path, update: int) -> dict[str, Any]:
        model = module.model
        place = next(model.parameters()).device
        module.objective.finish(model, labelled.to(place))
        if self.evaluation is None:
            return {}
        tasks = self.dataset.spec.tasks
        returns = oracle_returns(model, self.evaluation, labelled, tasks, range(self.evaluation_episodes))
        rows = {
            task: {
                "oracle_return": float(each.mean()),
                "standard_deviation": float(each.std(correction=0)),
                "episodes": len(each),
            }
            for task, each in returns.items()
        }
        if not any(row["update"] == update and "oracle_return" in row for row in read_metrics(out)):
            means = {task: row["oracle_return"] for task, row in rows.items()}
            append_metrics(out, {"update": update, "oracle_return": means})
        return rows


def _as_it_is(batch: TensorDictBase) -> TensorDictBase:
    return batch
