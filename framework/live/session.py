"""Session behind the page: bodies, agents and a person who teaches."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bfmkit.interfaces import Acquisition, Agent, Environment, RunStoppedError, Schedule
from bfmkit.live.film import Footage
from bfmkit.live.player import Player
from bfmkit.recipe import RecipeError, build_node, yaml_text
from bfmkit.registry import lookup
from bfmkit.runs.explanation import explain
from bfmkit.runs.record import FOLDER, Record, record_name
from bfmkit.runs.recording import record_of
from bfmkit.utils.files import write_atomically

OWN = "own"
"""The task that is whatever the person presses."""

SHOWN_SECONDS = 10.0
HOLD_SECONDS = 0.25
"""How often a slider that is held gives its reward."""
CLIP_SECONDS = 2.0
"""How long each of two clips is that are compared."""
CREDIT = (0.2, 1.0)
"""Seconds before a press that it is about, unless the agent says otherwise."""
EPISODES_FILMED = 2
"""How many whole episodes a film shows before the present one."""
RULES = ("ucb", "thompson", "greedy", "information", "random")


@dataclass(frozen=True)
class Moment:
    """Step of a session, as the plots show it."""

    time: float  # seconds since the session began
    given: float  # what the first agent was told; NaN where nothing
    predicted: float  # what it expected of the step


@dataclass(frozen=True)
class Saved:
    """Saved record, and commands that use it."""

    record: Path
    replay: str
    play: str
    reuse: str


class LiveSession:
    """Players side by side in the same episodes, one task for all, and a person's labels.

    Nothing here knows of a viewer, and nothing is called by two threads at once.

    Args:
        players: whose agents are taught and watched; their bodies meet the same episodes.
        out: where records go.
        oracle: acts for the task's weights found offline, on a body of its own; None where there is none to be had.

    Raises:
        ValueError: without a player.
    """

    def __init__(self, players: Sequence[Player], out: Path, oracle: Player | None = None) -> None:
        if not players:
            raise ValueError("a session needs at least one agent")
        self.players, self.out, self.oracle = list(players), out, oracle
        self.task: str = players[0].task
        self.shows_oracle = False
        self.message = ""
        self.held = 0.0
        self.steps = 0
        self._forgotten = 0  # the steps that no agent remembers
        self.presses = 0
        length = round(SHOWN_SECONDS / self.control_timestep)
        self.tracks: deque[list[Tensor]] = deque(maxlen=EPISODES_FILMED)
        """Of the last episodes: physics (T, p) of each player."""
        self.moments: deque[Moment] = deque(maxlen=length)
        self._pressed: float | None = None
        self._new_rules: dict[int, tuple[dict[str, Any], Acquisition, Schedule | None]] = {}
        self._asks_oracle = oracle is not None
        self._oracle_runs = False
        self.new_episode()

    @property
    def environment(self) -> Environment:
        """Environment of the first player."""
        return self.players[0].environment

    @property
    def control_timestep(self) -> float:
        """Duration of a step in seconds."""
        return self.environment.spec.control_timestep

    @property
    def is_own(self) -> bool:
        """Whether a person gives the reward."""
        return self.task == OWN

    @property
    def compares(self) -> bool:
        """Whether the first agent learns from comparisons."""
        return self.players[0].compares

    @property
    def labels(self) -> list[int]:
        """Number of labels learnt by each player's belief."""
        return [int(player.agent.state["labels"][0]) for player in self.players]

    @property
    def oracle_return(self) -> float | None:
        """Mean return of the oracle on the present task; None if unknown."""
        if self.oracle is None or self.is_own or not self.oracle.returns:
            return None
        return sum(self.oracle.returns) / len(self.oracle.returns)

    # Time.

    def advance(self) -> None:
        """Step every player; an episode that ends is followed by the next."""
        self._take_rules()
        over = False
        for index, player in enumerate(self.players):
            try:
                seen = player.advance(observed=not self.is_own and not self.compares)
            except RunStoppedError as error:
                self.message = f"{player.name}: {error}; a new episode begins, and the belief stays as it was"
                over = True
                continue
            over = over or seen.over
            if index == 0:
                given = self._pressed if self.is_own or self.compares else seen.reward
                time = self.steps * self.control_timestep
                self.moments.append(Moment(time, float("nan") if given is None else given, seen.predicted))
        self._pressed = None
        self.steps += 1
        if self.held != 0.0 and self.steps % max(1, round(HOLD_SECONDS / self.control_timestep)) == 0:
            self.press(self.held)
        self._advance_oracle()
        if over:
            self.new_episode()

    def new_episode(self) -> None:
        """Every body starts where the next episode does, the oracle's too."""
        if self.steps:
            self.tracks.append([torch.cat(player.track) for player in self.players])
        number = self.players[0].episode
        for player in self.players:
            player.begin_episode(number)
        if self.oracle is not None and self.shows_oracle and not self.is_own:
            self._begin_oracle(number)

    def _begin_oracle(self, number: int) -> None:
        oracle = self.oracle
        if oracle is None:
            return
        if oracle.task != self.task:
            oracle.take_task(self.task)
            oracle.forget()
        oracle.begin_episode(number)
        self._asks_oracle, self._oracle_runs = False, True

    def _advance_oracle(self) -> None:
        if self.oracle is None or self.is_own:
            return
        if self._asks_oracle:
            self._begin_oracle(max(0, self.players[0].episode - 1))
        if not self._oracle_runs:
            return
        try:
            self._oracle_runs = not self.oracle.advance(observed=False).over
        except RunStoppedError as error:
            self.message, self._oracle_runs = f"oracle: {error}", False

    # The task.

    def check_task(self, task: str) -> str:
        """What is wrong with a name or a formula; nothing if it can be a task."""
        try:
            self.environment.spec.require_task(task)
        except ValueError as error:
            return str(error)
        return ""

    def set_task(self, task: str, keep_belief: bool) -> None:
        """Change the task from the next step on: a name, a formula, or :data:`OWN`.

        Raises:
            ValueError: if it is none; nothing changes then.
        """
        if task != OWN:
            self.environment.spec.require_task(task)
        self.task, self.held, self.message = task, 0.0, ""
        for player in self.players:
            if task != OWN:
                player.take_task(task)
            if not keep_belief:
                player.forget()
                self._forgotten = self.steps
            player.returns.clear()
            player.agent.begin_episode()
        if self.oracle is not None:
            self.oracle.returns.clear()
            self._asks_oracle, self._oracle_runs = task != OWN, False
        self.moments.clear()

    def quantities(self) -> dict[str, float]:
        """Present values of the physics quantities that formulas are typed over."""
        first = self.players[0]
        values = self.environment.quantities(first.physics, first.action)
        return {name: float(value[0]) for name, value in values.items()}

    # A person's rewards.

    def press(self, value: float) -> bool:
        """Reward of the last moments, from −1 to 1, given to every player; returns False if none is remembered."""
        if self.compares or not self._can_label():
            return False
        for player in self.players:
            if player.has_belief and not player.compares:
                teacher = getattr(player.agent, "teacher", None)
                player.agent.label(value, seconds=CREDIT if teacher is None else teacher.credit)
        self._pressed, self.presses = value, self.presses + 1
        return True

    def compare(self, later_is_better: bool) -> bool:
        """Say which of the last two clips was the better; False where there are no two yet."""
        length = round(CLIP_SECONDS / self.control_timestep)
        if not self.compares or self.steps - self._forgotten < 2 * length:
            return False
        value = 1.0 if later_is_better else -1.0
        for player in self.players:
            if player.compares:
                player.agent.label(value, (0, length), than=(length, 2 * length))
        self._pressed, self.presses = value, self.presses + 1
        return True

    def hold(self, value: float) -> None:
        """The reward of a slider that is held there; 0 gives none."""
        self.held = value

    def _can_label(self) -> bool:
        return self.steps > self._forgotten and any(player.has_belief for player in self.players)

    # The rules at hand.

    def set_rules(
        self, acquisition: str | None = None, radius: float | None = None, every: int | None = None, player: int = 0
    ) -> None:
        """Other rules for one player, who chooses anew at once: the acquisition, its confidence radius, the schedule.

        Raises:
            ValueError: if the rules do not go together, or the agent has none; nothing changes then.
        """
        chosen = self.players[player]
        agent: Any = chosen.agent
        if not chosen.has_belief or "agent" not in chosen.origin:
            raise ValueError(f"{chosen.name} has no rules to change")
        if hasattr(agent, "base"):
            raise ValueError(f"{chosen.name} fine-tunes what it infers; rules are changed in its recipe")
        node = dict(self._new_rules[player][0] if player in self._new_rules else chosen.origin["agent"])
        if acquisition is not None:
            node["acquisition"] = self._acquisition_node(node.get("acquisition", {}), acquisition)
        if radius is not None and node["acquisition"]["type"] == "ucb":
            node["acquisition"] = {**node["acquisition"], "confidence_radius": radius}
        if every is not None:
            node["schedule"] = {"type": "every", "steps": every}
        try:
            rule: Acquisition = build_node(Acquisition, node["acquisition"], source="page")
            schedule: Schedule | None = build_node(Schedule, node["schedule"], source="page") if every else None
            rule.require(agent.posterior)
        except RecipeError as error:
            raise ValueError(str(error)) from error
        # Taken up with the next step: until then the last choice is that of the rules before, in a record too.
        self._new_rules[player] = (node, rule, schedule)

    def _take_rules(self) -> None:
        for player, (node, rule, schedule) in self._new_rules.items():
            chosen = self.players[player]
            agent: Any = chosen.agent
            agent.flush()
            agent.acquisition = rule
            if schedule is not None:
                agent.schedule = schedule
            chosen.origin = {**chosen.origin, "agent": node}
            agent.label_log.origin["agent"] = node
            agent.begin_episode()
        self._new_rules.clear()

    def _acquisition_node(self, before: Mapping[str, Any], name: str) -> dict[str, Any]:
        if name == before.get("type"):
            return dict(before)
        node: dict[str, Any] = {"type": name}
        if name in ("ucb", "information"):
            sampler = {"type": "ellipsoid", "count": 128} if name == "ucb" else {"type": "sphere", "count": 64}
            node["candidates"] = before.get("candidates", sampler) if name == "ucb" else sampler
        return node

    # Keeping it.

    def record(self, player: int = 0) -> Record:
        """Record of a player's belief and its labels.

        Raises:
            ValueError: for an agent without a belief.
        """
        return record_of(self.players[player].agent, task=None if self.is_own else self.task)

    def save(self, player: int = 0) -> Saved:
        """Write the record of a player, and a recipe that acts for its weights.

        Raises:
            ValueError: for an agent without a belief.
        """
        record, chosen = self.record(player), self.players[player]
        name = record_name(self.task if not self.is_own else "taught", chosen.seed)
        path = self.free_path(self.out / FOLDER / name)
        record.save(path)
        recipe = path.with_suffix(".yaml")
        parts = {key: chosen.origin[key] for key in ("bfm", "environment") if key in chosen.origin}
        agent = {"type": "fixed", "record": str(path.resolve())}
        write_atomically(recipe, yaml_text.write({"type": "infer", **parts, "agent": agent}))
        commands = (["bfmkit", "replay", str(path)], ["bfmkit", "play", str(path)], ["bfmkit", "run", str(recipe)])
        return Saved(path, *(shlex.join(command) for command in commands))

    def save_all(self) -> list[Saved]:
        """Every belief that has taken in a label."""
        return [
            self.save(index)
            for index, player in enumerate(self.players)
            if player.has_belief and player.agent.state["labels"].any()
        ]

    def footage(self, seconds: float | None = None) -> Footage:
        """What every player did in the last whole episodes and the present one; or in the last seconds of it all."""
        present = [torch.cat(player.track) for player in self.players]
        whole = [torch.cat(parts).numpy() for parts in zip(*self.tracks, present, strict=True)]
        if seconds is not None:
            whole = [physics[-1 - round(seconds / self.control_timestep) :] for physics in whole]
        names = tuple(player.name for player in self.players)
        return Footage(self.environment, names, tuple(whole), self.control_timestep)

    def explanation(self, player: int = 0) -> str:
        """Explanation of a player's belief in words."""
        record = self.record(player)
        if len(record.tensors.get("rewards", ())) + len(record.tensors.get("late_rewards", ())) == 0:
            return "No label yet, so nothing is believed."
        return explain(record, self.players[player].bfm, self.environment).paragraph()

    def widths(self) -> list[float]:
        """Standard deviation of the return that each player acts for; NaN without a belief."""
        found = []
        for player in self.players:
            known = player.agent.diagnostics(player.observation)
            found.append(float(known["width"][0]) if "width" in known else float("nan"))
        return found

    def free_path(self, path: Path) -> Path:
        """A name that is not taken: a session may save many times."""
        number, candidate = 1, path
        while candidate.exists():
            number += 1
            candidate = path.with_stem(f"{path.stem}-{number}")
        return candidate


def oracle_player(environment: Environment, first: Player) -> Player | None:
    """The oracle beside a player; None where its model brings no transitions to label."""
    if first.bfm.inference_set() is None:
        return None
    agent: Agent = lookup(Agent, "oracle")()
    with torch.no_grad():
        return Player("oracle", agent, first.bfm, environment, first.seed)
