"""Label log: every reward that an agent's beliefs took in, and the last choice of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from bfmkit.utils.files import write_atomically

PACKED = 1000
"""So many steps are put together into one tensor."""

COUNTS = ("step", "size", "row", "late", "episode")
"""The whole numbers of a choice."""

_MOVED, _OBSERVED, _LAST = 1, 2, 4


class Labels(NamedTuple):
    """Labels that one run's belief learnt while acting."""

    features: Tensor  # (n, d), as the posterior was given them
    rewards: Tensor  # (n,) float64
    steps: Tensor  # (n,) int64, at which of the run's steps, the first being 0
    total: int  # steps of the run, those without a reward too
    ends: Tensor  # (k,) int64, after which steps the belief took in those since the last time; the last one is total


class LateLabels(NamedTuple):
    """Late labels of one run, about steps taken earlier."""

    features: Tensor  # (n, d) float64, that each label was about
    rewards: Tensor  # (n,) float64
    weights: Tensor  # (n,) float64
    steps: Tensor  # (n,) int64, how many steps the run had taken when it came


class _Taken(NamedTuple):
    """Steps as they were taken in, n of each of m runs."""

    features: Tensor  # (m, n, d)
    reward: Tensor  # (m, n)
    observed: Tensor  # (m, n) bool
    runs: Tensor  # (m,)
    among: int  # B

    def columns(self) -> tuple[Tensor, Tensor, Tensor]:  # (n, B, d), (n, B), (n, B) uint8
        """One row a step, with all runs beside each other."""
        taken = self.observed.mT
        last = torch.arange(len(taken)).unsqueeze(-1) == len(taken) - 1
        # What was not taken in may be anything, and is not worth keeping.
        features = self.features.cpu().transpose(0, 1).masked_fill(~taken.unsqueeze(-1), 0.0)
        rewards = self.reward.cpu().mT.masked_fill(~taken, 0.0)
        flags = _MOVED + taken * _OBSERVED + last * _LAST
        parts = features, rewards, flags.to(torch.uint8)
        if len(self.runs) == self.among:
            return parts
        wide = [part.new_zeros(len(part), self.among, *part.shape[2:]) for part in parts]
        features, rewards, flags = (
            each.index_copy_(1, self.runs, part) for each, part in zip(wide, parts, strict=True)
        )
        return features, rewards, flags


class LastSelection(NamedTuple):
    """Last selection of weights of one run: the acquisition's inputs beside the belief."""

    observation: Tensor  # (o,)
    previous: Tensor  # (d,) float64, the weights before it
    step: int  # how many steps the run had taken
    size: int  # how many runs chose together
    row: int  # which of them this one was
    late: int  # how many late labels the run had been given
    episode: int  # in which episode, from 0


class LabelLog:
    """Log of all labels of B runs, from which each belief can be replayed.

    An agent that keeps a belief writes into the log it is given (``agent.label_log = LabelLog()``, before its start).
    Features are kept rather than observations: a network's output depends in the last digit on how many rows it worked
    on, and a belief can then be worked out again without the model. One step of one run takes 4d + 9 bytes.

    Args:
        origin: where the agent comes from, as :func:`bfmkit.runs.recording.record_of` wants it.
        folder: where to put whatever is more than a few thousand steps old; None: it stays in memory.
    """

    def __init__(self, origin: Mapping[str, Any] | None = None, folder: Path | None = None) -> None:
        self.origin = dict(origin or {})
        self.folder = folder
        self.begin(None, None)

    # What an agent writes.

    def begin(
        self,
        features: Tensor | None,  # (n, d) labelled transitions that the agent starts from
        rewards: Tensor | None,  # (n, B)
    ) -> None:
        """Reset, when an agent starts."""
        self.start = None if features is None or rewards is None else (features.cpu(), rewards.cpu())
        self.is_whole = True
        self._chunks: list[dict[str, Tensor] | Path] = []
        self._pending: list[_Taken] = []
        self._pending_steps = 0
        self._asked: list[tuple[Tensor, ...]] = []
        self._choices: dict[str, Tensor] = {}
        self._late: list[dict[str, Tensor]] = []
        self._late_counts = torch.zeros(1, dtype=torch.int64)  # (B,), or one 0 for all

    def take(
        self,
        features: Tensor,  # (m, n, d)
        reward: Tensor,  # (m, n) float64
        observed: Tensor,  # (m, n) bool on the CPU: which rewards the belief took in
        runs: Tensor,  # (m,) int64: whose steps these are
        among: int,  # B, how many runs there are
    ) -> None:
        """Append steps that the beliefs of some runs learnt together."""
        self._pending.append(_Taken(features.clone(), reward.clone(), observed.clone(), runs, among))
        self._pending_steps += reward.shape[1]
        if self._pending_steps >= PACKED:
            self._pack()

    def label(
        self,
        features: Tensor,  # (B, d) float64
        reward: Tensor,  # (B,) float64
        weight: float,
        runs: Tensor,  # (B,) bool: which of them were told
        step: Tensor,  # (B,) int64
    ) -> None:
        """Append a late label of some runs."""
        parts = {"features": features.cpu(), "rewards": reward.cpu(), "runs": runs, "steps": step}
        parts["weights"] = torch.full((len(runs),), weight, dtype=torch.float64)
        self._late.append({name: part.clone() for name, part in parts.items()})
        self._late_counts = self._late_counts + runs

    def choose(
        self,
        observation: Tensor,  # (n, o)
        previous: Tensor,  # (n, d)
        runs: Tensor,  # (n,) int64, the runs that chose, in the order of the rows
        step: Tensor,  # (n,) int64
        episode: Tensor,  # (n,) int64
        kept: Tensor,  # (B,) bool, those of them whose choice holds
    ) -> None:
        """Record a selection of weights."""
        # Copies: these are the caller's. Written down when somebody reads, for most choices are overtaken by the next.
        late = self._late_counts.expand(len(kept))[runs]
        call = (observation.clone(), previous, runs, step.clone(), episode.clone(), kept.clone(), late)
        if len(runs) == len(kept) and bool(kept.all()):
            self._asked = [call]
        else:
            self._asked.append(call)
        if len(self._asked) >= PACKED:
            self._note_choices()

    # What a record reads.

    def labels(self, run: int) -> Labels:
        """Labels of one run since the agent's start."""
        self._pack()
        parts = [self._read(chunk, run) for chunk in self._chunks]
        if not parts:
            nothing = torch.zeros(0)
            return Labels(torch.zeros(0, 0), nothing.double(), nothing.long(), 0, nothing.long())
        features, rewards, flags = (torch.cat([part[index] for part in parts]) for index in range(3))
        moved = (flags & _MOVED) > 0
        # A run that stands still neither learns nor forgets: its steps are those it took.
        features, rewards, flags = features[moved], rewards[moved], flags[moved]
        taken, last = (flags & _OBSERVED) > 0, (flags & _LAST) > 0
        steps, ends = taken.nonzero().squeeze(-1), last.nonzero().squeeze(-1) + 1
        return Labels(features[taken], rewards[taken], steps, len(taken), ends)

    def late_labels(self, run: int) -> LateLabels:
        """Late labels of one run, in their order."""
        told = [each for each in self._late if each["runs"][run]]
        if not told:
            nothing = torch.zeros(0, dtype=torch.float64)
            return LateLabels(nothing.reshape(0, 0), nothing, nothing, nothing.long())
        return LateLabels(*(torch.stack([each[name][run] for each in told]) for name in LateLabels._fields))

    def choice(self, run: int) -> LastSelection | None:
        """Last selection of one run; None before its first."""
        self._note_choices()
        if not self._choices or int(self._choices["size"][run]) == 0:
            return None
        known = {name: value[run] for name, value in self._choices.items()}
        numbers = (int(known[name]) for name in COUNTS)
        return LastSelection(known["observation"].clone(), known["previous"].clone(), *numbers)

    # Going on later.

    def state_dict(self) -> dict[str, Any]:
        """State for ``torch.load`` to read weights-only; files in the folder stay there."""
        self._pack()
        self._note_choices()
        chunks = [chunk.name if isinstance(chunk, Path) else dict(chunk) for chunk in self._chunks]
        late = [dict(each) for each in self._late]
        choices = {name: value.clone() for name, value in self._choices.items()}
        return {"chunks": chunks, "choices": choices, "late": late}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`, after the agent has started.

        Raises:
            FileNotFoundError: if something is gone from the folder.
        """
        self._pending, self._pending_steps, self._asked = [], 0, []
        self._chunks = [
            self._file(chunk) if isinstance(chunk, str) else {name: value.clone() for name, value in chunk.items()}
            for chunk in state["chunks"]
        ]
        self._choices = {name: value.clone() for name, value in state["choices"].items()}
        self._late = [dict(each) for each in state["late"]]
        self._late_counts = torch.zeros(1, dtype=torch.int64) + sum(each["runs"].long() for each in self._late)

    def _file(self, name: str) -> Path:
        path = (self.folder or Path()) / name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the rewards of an earlier part of this run are gone")
        return path

    def _note_choices(self) -> None:
        """Write down the last choice of each run."""
        for observation, previous, runs, step, episode, kept, late in self._asked:
            count, held = len(kept), kept[runs]
            if not self._choices:
                self._choices = {
                    "observation": torch.zeros(count, observation.shape[-1], dtype=observation.dtype),
                    "previous": torch.zeros(count, previous.shape[-1], dtype=previous.dtype),
                    **{name: torch.zeros(count, dtype=torch.int64) for name in COUNTS},
                }
            rows = held.nonzero().squeeze(-1)
            chose, choices = runs[rows], self._choices
            choices["observation"][chose], choices["previous"][chose] = observation.cpu()[rows], previous.cpu()[rows]
            choices["step"][chose], choices["size"][chose], choices["row"][chose] = step[rows], len(runs), rows
            choices["late"][chose], choices["episode"][chose] = late[rows], episode[rows]
        self._asked = []

    def _pack(self) -> None:
        """Put the pending steps together."""
        if not self._pending:
            return
        features, rewards, flags = zip(*(each.columns() for each in self._pending), strict=True)
        chunk = {"features": torch.cat(features), "rewards": torch.cat(rewards), "flags": torch.cat(flags)}
        self._pending, self._pending_steps = [], 0
        if self.folder is None:
            self._chunks.append(chunk)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{len(self._chunks):06}.safetensors"
        write_atomically(path, save_tensors(chunk))
        self._chunks.append(path)

    def _read(self, chunk: dict[str, Tensor] | Path, run: int) -> tuple[Tensor, Tensor, Tensor]:
        names = ("features", "rewards", "flags")
        if isinstance(chunk, dict):
            features, rewards, flags = (chunk[name][:, run] for name in names)
            return features, rewards, flags
        with safe_open(chunk, framework="pt") as file:
            features, rewards, flags = (file.get_slice(name)[:, run] for name in names)
            return features, rewards, flags
