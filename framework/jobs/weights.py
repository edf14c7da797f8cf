"""Job ``weights``: zero-shot inference of weights."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch

from bfmkit.data.label_files import read_tensors
from bfmkit.inference.experiment import fitted_environment
from bfmkit.inference.offline import Inferred, weights_from_demonstration, weights_from_goal, weights_from_labels
from bfmkit.interfaces import BFM, Environment, Job, Posterior
from bfmkit.registry import register
from bfmkit.report.plots.explanation import draw_explanation
from bfmkit.runs.explanation import explain
from bfmkit.runs.record import FOLDER, Record
from bfmkit.runs.recording import inferred_record
from bfmkit.runs.run_directory import own_recipe, write_summary


@register(Job, "weights")
class WeightsJob(Job):
    """Weights from a file of labelled observations, a goal observation or a demonstration.

    What comes of it is an inference record, ``records/weights.safetensors``, like those that acting leaves: the agent
    ``fixed`` acts for it, ``bfmkit explain`` and ``bfmkit replay`` read it. Files are ``.npz`` or ``.safetensors``,
    with ``observation`` (n, o); labelled ones also have ``reward`` (n,), and any of them may have ``action`` (n, a),
    that led there, and ``previous_observation`` (n, o), for features that look at more than where one is.

    Args:
        bfm: the model whose policies to act with.
        posterior: what the labels say about w.
        labels: a file of labelled observations.
        goal: one observation to reach: its numbers, or a file with one.
        demonstration: a file of the observations of one, in their order.
        task: what to call it; a task of ``environment``, or a typed reward, is compared with in the explanation.
        environment: to explain the weights with; none given: the explanation names no quantities.
        seed: for posteriors with noise of their own.

    Raises:
        ValueError: if not exactly one of ``labels``, ``goal`` and ``demonstration`` is given, or what is given does not
            fit the model, or the environment is another body's, or has no such task.
        FileNotFoundError: if a file is not there.

    Example:
        ``bfmkit run weights_from_labels labels=labels.npz``
    """

    logs = False

    def __init__(
        self,
        bfm: BFM,
        posterior: Posterior,
        labels: Path | None = None,
        goal: list[float] | Path | None = None,
        demonstration: Path | None = None,
        task: str | None = None,
        environment: Environment | None = None,
        seed: int = 0,
    ) -> None:
        sources = {"labels": labels, "goal": goal, "demonstration": demonstration}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give one of labels, goal and demonstration, got {' and '.join(given) or 'none'}")
        if environment is not None:
            environment = fitted_environment(environment, bfm)
            if task is not None:
                environment.spec.require_task(task)
        self.bfm, self.posterior, self.environment = bfm, posterior, environment
        self.task, self.seed = task, seed
        self.source = given[0]
        self.tensors, self.origin = _read(self.source, sources[self.source])
        # What does not fit is refused now, and not when the run directory is there.
        self.infer()

    def infer(self) -> Inferred:
        """Weights, by the method that the arguments name."""
        tensors = {name: value.float() if name != "reward" else value.double() for name, value in self.tensors.items()}
        observation, action = tensors["observation"], tensors.get("action")
        if self.source == "labels":
            previous = tensors.get("previous_observation")
            return weights_from_labels(
                self.bfm, self.posterior, observation, tensors["reward"], action, previous, self.seed
            )
        if self.source == "goal":
            return weights_from_goal(self.bfm, self.posterior, observation[0], self.seed)
        return weights_from_demonstration(self.bfm, self.posterior, observation, action, self.seed)

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Infer the weights and write record and picture; running again gives the same."""
        self.bfm.to(device)
        record = inferred_record(self.infer(), self.bfm, self._origin(out), self.task, self.seed)
        record.save(out / FOLDER / "weights.safetensors")
        summary = {"labels": len(record.tensors["start_rewards"]), "weights_norm": float(record.weights.norm())}
        summary |= self._explain(record, out)
        write_summary(out, summary)
        return summary

    def _explain(self, record: Record, out: Path) -> dict[str, Any]:
        self.bfm.to("cpu")
        explanation = explain(record, self.bfm, self.environment)
        draw_explanation(out / "figures" / "weights.png", explanation)
        paragraph = explanation.paragraph()
        sys.stderr.write(f"{paragraph}\n")
        return {"explanation": paragraph, "explained_variance": explanation.explained_variance}

    def _origin(self, out: Path) -> dict[str, Any]:
        said = own_recipe(out)
        known = {name: said[name] for name in ("bfm", "posterior", "environment") if said.get(name) is not None}
        return known | {"labels": self.origin}


def _read(kind: str, source: Any) -> tuple[dict[str, torch.Tensor], str]:
    """Observations, and where they come from in words."""
    if isinstance(source, list):
        return {"observation": torch.tensor([source], dtype=torch.float64)}, "a goal in the recipe"
    path = Path(source)
    tensors = read_tensors(path, ("observation", "reward") if kind == "labels" else ("observation",))
    if kind == "goal" and len(tensors["observation"]) != 1:
        raise ValueError(f"{path}: a goal is one observation, got {len(tensors['observation'])}")
    if kind != "labels" and "reward" in tensors:
        raise ValueError(f'{path}: a {kind} has no rewards; give them as "labels"')
    return tensors, f"{path}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
