"""Records of agents and of zero-shot inference."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bfmkit.inference.calibration import calibrations
from bfmkit.inference.offline import Inferred, belief_tensors
from bfmkit.interfaces import BFM, Agent
from bfmkit.models.digest import model_digest
from bfmkit.runs.label_log import COUNTS, Labels, LateLabels
from bfmkit.runs.record import Record
from bfmkit.utils.provenance import command_line, git_revision, versions


def record_of(
    agent: Agent,
    run: int = 0,
    task: str | None = None,
    surroundings: dict[str, Any] | None = None,
) -> Record:
    """Record of one run of an agent with a label log; buffered steps are learnt first.

    Args:
        agent: started with a label log, whose ``origin`` says as much as is known of ``bfm``, ``agent`` and
            ``environment`` (nodes of a recipe), and in ``labels`` and ``start_labels`` where its rewards come from.
        run: which of its runs.
        task: what was asked for, if anybody knows.
        surroundings: :func:`surroundings`, where several records share them; None: found out now.

    Raises:
        ValueError: if the agent has kept no label log, or not from its start on, or keeps no belief.
    """
    book = agent.label_log
    if book is None or "belief" not in agent.state.keys():
        raise ValueError("a record needs an agent with a belief that was given a label log before its start")
    if not book.is_whole:
        raise ValueError("no record: this agent went on from a state that was saved without its label log")
    agent_parts: Any = agent
    agent.flush()
    state, posterior, bfm = agent.state, agent_parts.posterior, agent_parts.bfm
    labels, choice = book.labels(run), book.choice(run)
    belief = state["belief"][run : run + 1]
    late = book.late_labels(run)
    tensors = belief_tensors(posterior, belief) | label_tensors(labels) | late_tensors(late)
    facts: dict[str, Any] = {
        "kind": "online",
        "task": task,
        "seed": agent_parts.seeds[run],
        **_known(book.origin),
        "batch": {"size": len(agent_parts.seeds), "row": run},
        "steps": labels.total,
        "rewards": {"acting": len(labels.rewards), "acting_from": book.origin.get("labels", "given to observe()")},
        "stopped": agent.failures.get(run),
    }
    if len(late.rewards):
        facts["rewards"]["late"] = len(late.rewards)
    if book.start is not None:
        features, rewards = book.start
        tensors |= {"start_features": features, "start_rewards": rewards[:, run]}
        facts["rewards"] |= {"start": len(features), "start_from": book.origin.get("start_labels", "given to start()")}
    if choice is not None:
        tensors |= {
            "chosen_weights": state["weights"][run],
            "z": state["z"][run],
            "choice_observation": choice.observation,
            "choice_previous": choice.previous,
        }
        facts["choice"] = {name: getattr(choice, name) for name in COUNTS}
    if posterior.is_standardized:
        offset, scale = posterior.reward_units(belief)
        facts["reward_units"] = {"offset": float(offset), "scale": float(scale)}
    known = calibrations(agent)
    if known:
        facts["calibration"] = known[run].to_dict()
    return Record(facts | (surroundings or describe(bfm, agent_parts.device)), cloned(tensors))


def save_record(agent: Agent, path: str | Path, run: int = 0, task: str | None = None) -> Record:
    """Record of what one run of an agent from :func:`bfmkit.load_agent` believes, written to a file.

    Args:
        agent: that has acted and observed.
        path: of the file to write.
        run: which of its runs.
        task: what was asked for, if anybody knows; for people.

    Raises:
        ValueError: as :func:`record_of`.

    Example:
        >>> import tempfile, bfmkit
        >>> agent, environment = bfmkit.load_agent("opti_bfm"), bfmkit.make_env("walker", "stand", episode_steps=50)
        >>> _ = bfmkit.evaluate(agent, environment, episodes=1)
        >>> save_record(agent, f"{tempfile.mkdtemp()}/stand.safetensors", task="stand").facts["steps"]
        50
    """
    record = record_of(agent, run, task)
    record.save(Path(path))
    return record


def describe(bfm: BFM, device: torch.device) -> dict[str, Any]:
    """Facts that records of one batch share: model, versions, machine and command."""
    return {
        "model": {"digest": model_digest(bfm), "domain": bfm.environment_spec.domain, "dim": bfm.dim},
        "made": {
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": command_line(),
            "device": str(device),
            "threads": torch.get_num_threads(),
            "git": git_revision(),
            "versions": versions(),
        },
    }


def label_tensors(labels: Labels) -> dict[str, Tensor]:
    """Tensors of the labels learnt while acting; empty without any."""
    ends = {} if len(labels.ends) == labels.total else {"ends": labels.ends}
    if len(labels.rewards) == 0:
        return ends
    return {"features": labels.features, "rewards": labels.rewards, "steps": labels.steps, **ends}


def late_tensors(late: LateLabels) -> dict[str, Tensor]:
    """Tensors of late labels; empty without any."""
    return {f"late_{name}": value for name, value in late._asdict().items()} if len(late.rewards) else {}


def cloned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors on the CPU, which share no memory with the run."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _known(origin: dict[str, Any]) -> dict[str, Any]:
    return {name: origin[name] for name in ("bfm", "agent", "environment", "recipe") if name in origin}


def inferred_record(inferred: Inferred, bfm: BFM, origin: dict[str, Any], task: str | None, seed: int = 0) -> Record:
    """Record of zero-shot inference.

    Args:
        inferred: from a function of :mod:`bfmkit.inference.offline`.
        bfm: with which.
        origin: recipe nodes ``bfm``, ``posterior`` and ``environment`` as far as they are known, and in ``labels``
            where the labels come from.
        task: what it is called, for people; a task of the environment is compared with by ``bfmkit explain``.
        seed: as given to that function.
    """
    known: dict[str, Any] = {name: origin[name] for name in ("bfm", "posterior", "environment") if name in origin}
    facts: dict[str, Any] = {
        "kind": inferred.kind,
        "task": task,
        "seed": seed,
        **known,
        "steps": 0,
        "rewards": {"start": len(inferred.rewards), "start_from": origin.get("labels", "given in Python")},
        **describe(bfm, inferred.features.device),
    }
    tensors = {
        "weights": inferred.weights,
        "covariance": inferred.covariance,
        "z": inferred.z,
        "start_features": inferred.features,
        "start_rewards": inferred.rewards,
    }
    return Record(facts, cloned(tensors))
