"""Traces of beliefs along a run, written to the run directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from bfmkit.inference.episode import Step
from bfmkit.inference.experiment import Run
from bfmkit.interfaces import BFM, Agent, Posterior
from bfmkit.runs.frames import fitted, write_frames
from bfmkit.runs.trace import TRACE, load_episode
from bfmkit.utils.files import write_atomically

MILESTONES = (1, 5, 20, 100, 500, 1000)
"""Steps of each episode that are traced whatever the interval: a belief changes fastest at its beginning."""


def traced(step: int, every: int, episode_steps: int) -> bool:
    """Whether a step is traced, counted from 1 in its episode; its last one always is."""
    return step % every == 0 or step in MILESTONES or step == episode_steps


class EpisodeTrace:
    """Trace of one episode of a batch while it is acted; :meth:`tensors` has the entries.

    Args:
        agent: which acts.
        bfm: with whose policies.
        every: how many steps between two entries.
        episode_steps: at most, of the episode.
        reference: step of the episode -> the z (B, d) that whoever knows the task takes there.
        shown: rows to take pictures of, where the environment draws itself.
    """

    def __init__(
        self,
        agent: Agent,
        bfm: BFM,
        every: int,
        episode_steps: int,
        reference: dict[int, Tensor] | None = None,
        shown: Sequence[int] = (),
    ) -> None:
        self._agent, self._bfm = agent, bfm
        self._every, self._episode_steps = every, episode_steps
        self._reference = reference or {}
        self._entries: list[dict[str, Tensor]] = []
        self._steps: list[int] = []
        self._return: Tensor | None = None
        self.frames: dict[int, dict[int, np.ndarray]] = {row: {} for row in shown}

    def __call__(self, step: Step) -> None:
        """Take in a step that has just been learnt from."""
        reward = torch.where(step.running, step.outcome.reward.cpu().double(), 0.0)
        self._return = reward if self._return is None else self._return + reward
        number = step.index + 1
        if traced(number, self._every, self._episode_steps):
            self._steps.append(number)
            self._entries.append({name: value.cpu() for name, value in self._entry(step, number).items()})
            for row, frames in self.frames.items():
                frame = step.frame(row) if step.running[row] else None
                if frame is not None:
                    frames[number] = fitted(frame)

    @torch.no_grad()
    def _entry(self, step: Step, number: int) -> dict[str, Tensor]:  # (B, ...) each
        state, device = self._agent.state, step.z.device
        entry: dict[str, Tensor] = {
            **self._agent.diagnostics(step.observation),
            "alive": step.running & ~state["stopped"].cpu(),
            "labels": state["labels"].clone(),
            "physics": step.outcome.physics.float(),
            "reward": step.outcome.reward.double(),
            "steps": state["step"].clone(),
            "z": step.z.clone(),
        }
        if self._return is not None:
            entry["return"] = self._return.clone()
        if "mean" in entry:
            mean = entry["mean"]
            following = (step.observation, step.action, step.outcome.observation)
            features = self._bfm.features(*(part.to(device, step.z.dtype) for part in following))
            # Of an agent with a posterior, what it expects; of others, what their weights say.
            posterior: Posterior | None = getattr(self._agent, "posterior", None)
            believed = (features.double() * mean).sum(-1)
            if posterior is not None:
                belief = getattr(self._agent, "belief")  # noqa: B009
                believed = posterior.predictive_mean(belief, features)
                if posterior.is_standardized:
                    entry["reward_offset"], entry["reward_scale"] = posterior.reward_units(belief)
            entry["believed_reward"] = believed
            best = self._best(number)
            if best is not None:
                latent = self._bfm.policy_latent(mean.to(step.z.dtype))
                entry["cosine"] = torch.nn.functional.cosine_similarity(latent.double(), best.to(device).double(), -1)
            entry["mean"] = mean.float()
        return entry

    def _best(self, number: int) -> Tensor | None:
        """The reference's z at a step; after its end, its last."""
        if not self._reference:
            return None
        return self._reference.get(number, self._reference[max(self._reference)])

    def tensors(self) -> dict[str, Tensor]:  # (T, B, ...) each; "step" (T,)
        """Entries: ``step`` of the episode, ``steps`` since the start, and the agent's diagnostics."""
        if not self._entries:
            return {}
        stacked = {name: torch.stack([entry[name] for entry in self._entries]) for name in self._entries[0]}
        return {"step": torch.tensor(self._steps), **stacked}


@dataclass(frozen=True)
class Tracer:
    """Writer of the traces of a batch, a file an episode: ``trace/<who>-<batch>-<episode>.safetensors``."""

    out: Path  # the run directory
    every: int | None  # steps between two entries; None writes nothing
    batch: int  # a number unique in the run directory
    runs: Sequence[Run]  # in the order of the rows
    episode_steps: int  # of the environment

    @contextmanager
    def watching(
        self,
        agent: Agent,
        bfm: BFM,
        is_oracle: bool,
        episode: int,
        also: AbstractContextManager[Callable[[Step], None]],
    ) -> Iterator[Callable[[Step], None]]:
        """Context that traces an episode and writes the trace at its end.

        An agent is compared with what the oracle did in this batch before. A file of an earlier try is replaced.
        """
        with also as on_step:
            if self.every is None:
                yield on_step
                return
            reference = None if is_oracle else self._oracle_latents()
            shown = () if is_oracle else self._shown()
            trace = EpisodeTrace(agent, bfm, self.every, self.episode_steps, reference, shown)

            def both(step: Step) -> None:
                on_step(step)
                trace(step)

            yield both
        self._write(trace, is_oracle, episode)
        write_frames(
            self.out, self.batch, episode, self.runs, {row: each for row, each in trace.frames.items() if each}
        )

    def _shown(self) -> list[int]:
        """The rows that a report shows: the first seed of each task."""
        first = {run.task: min(other.seed for other in self.runs if other.task == run.task) for run in self.runs}
        return [row for row, run in enumerate(self.runs) if run.seed == first[run.task]]

    def _write(self, trace: EpisodeTrace, is_oracle: bool, episode: int) -> None:
        tensors = trace.tensors()
        if not tensors:
            return
        runs = [[run.task, run.seed] for run in self.runs]
        facts = {"runs": json.dumps(runs), "episode": str(episode), "oracle": json.dumps(is_oracle)}
        path = self._path(is_oracle, episode)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save({name: value.contiguous() for name, value in tensors.items()}, facts))

    def _path(self, is_oracle: bool, episode: int) -> Path:
        who = "oracle" if is_oracle else "agent"
        return self.out / TRACE / f"{who}-{self.batch:05d}-{episode:05d}.safetensors"

    def _oracle_latents(self) -> dict[int, Tensor]:
        """Step of an episode -> z (B, d), in the oracle's first."""
        path = self._path(True, 0)
        if not path.is_file():
            return {}
        content = load_episode(path).tensors
        return dict(zip(content["step"].tolist(), content["z"], strict=True))
