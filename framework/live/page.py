"""Controls of the page, on top of a session."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import viser
from viser import uplot

from bfmkit.interfaces import EnvironmentSpec
from bfmkit.live.film_writer import FilmWriter
from bfmkit.live.scene import Scene
from bfmkit.live.session import OWN, RULES, LiveSession

OWN_TASK = "my presses"
TYPED = "typed formula"
FILMED_SECONDS = 10.0
SPEEDS = {"0.25x": 0.25, "0.5x": 0.5, "1x": 1.0, "2x": 2.0, "4x": 4.0, "as fast as it goes": float("inf")}
BLUE, VERMILION, GREEN, GREY = "#5682be", "#d67a3c", "#60a06e", "#8a8a8a"
COLORS = (BLUE, VERMILION, GREEN)
"""Of the players, as their bodies are tinted."""

Command = Callable[[], None]


class Page:
    """Controls and plots over a session.

    Callbacks of the browser run in threads of their own; each puts a command into :attr:`commands`, which the loop
    runs between two steps. The first viewer steers; what others press is taken back, unless ``shared``.

    Args:
        server: of the page.
        session: what happens on it.
        shared: whether every viewer may steer.
    """

    def __init__(self, server: viser.ViserServer, session: LiveSession, shared: bool = False) -> None:
        self.server, self.session, self.shared = server, session, shared
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.playing, self.speed, self.steps_asked = True, 1.0, 0
        self.steerer: int | None = None
        self._films = FilmWriter(self._film_written)
        self.refused = 0
        """How often somebody who does not steer has tried to."""
        self._accepted: dict[str, Any] = {}
        environment = session.environment
        appearance = environment.appearance()
        self.scene: Scene | None = None
        if appearance is not None:
            names = [player.name for player in session.players]
            self.scene = Scene(server, appearance, names, oracle=session.oracle is not None)
        self.plane = environment.plane()
        self._plane_features = self._features_of_plane()
        server.on_client_connect(self._connected)
        server.on_client_disconnect(self._disconnected)
        self._build()
        self.refresh()

    # Who steers.

    def _connected(self, client: viser.ClientHandle) -> None:
        if self.steerer is None:
            self.steerer = client.client_id
        elif not self.shared:
            client.add_notification("You are watching", "Another page steers this session.", auto_close_seconds=6)

    def _disconnected(self, client: viser.ClientHandle) -> None:
        if self.steerer == client.client_id:
            others = [number for number in self.server.get_clients() if number != client.client_id]
            self.steerer = others[0] if others else None

    def _may_steer(self, event: Any) -> bool:
        if event.client is None:  # the server's own change
            return False
        if self.shared or self.steerer in (None, event.client_id):
            return True
        self.refused += 1
        event.client.add_notification("Not steering", "Another page steers this session.", auto_close_seconds=4)
        return False

    def _on_click(self, handle: Any, action: Command) -> None:
        @handle.on_click
        def _(event: Any) -> None:
            if self._may_steer(event):
                self.commands.put(action)

    def _on_value(self, handle: Any, action: Callable[[Any], None]) -> None:
        self._accepted[handle.label] = handle.value

        @handle.on_update
        def _(event: Any) -> None:
            if event.client is None:
                return
            if not self._may_steer(event):
                handle.value = self._accepted[handle.label]
                return
            value = self._accepted[handle.label] = handle.value
            self.commands.put(lambda: action(value))

    def _on_key(self, label: str, key: Any, action: Command) -> None:
        command = self.server.gui.add_command(label, hotkey=key)

        @command.on_trigger
        def _(event: Any) -> None:
            if self._may_steer(event):
                self.commands.put(action)

    # What there is.

    def _build(self) -> None:
        gui = self.server.gui
        self._state = gui.add_markdown("")
        clock = gui.add_button_group("Time", ("Pause / go", "One step", "New episode"))
        self._on_click(clock, lambda: self._clock(clock.value))
        speed = gui.add_dropdown("Speed", tuple(SPEEDS), initial_value="1x")
        self._on_value(speed, lambda value: setattr(self, "speed", SPEEDS[value]))
        self._build_presses()
        self._build_task()
        with gui.add_folder("Belief"):
            self._build_belief()
        with gui.add_folder("Rules", expand_by_default=False):
            self._build_rules()
        with gui.add_folder("Keep", expand_by_default=False):
            self._build_keep()
        self._on_key("Pause or go", "P", lambda: self._clock("Pause / go"))

    def _build_task(self) -> None:
        spec = self.session.environment.spec
        with self.server.gui.add_folder("Task"):
            self._build_choice(spec)
            if spec.quantities:
                with self.server.gui.add_folder("Quantities now", expand_by_default=False):
                    self._quantities: Any = self.server.gui.add_markdown("")
            else:
                self._quantities = None

    def _build_choice(self, spec: EnvironmentSpec) -> None:
        gui = self.server.gui
        tasks = (*spec.tasks, *spec.changing_tasks)
        start = OWN_TASK if self.session.is_own else self.session.task if self.session.task in tasks else TYPED
        self._task = gui.add_dropdown("Task", (*tasks, TYPED, OWN_TASK), initial_value=start)
        self._on_value(self._task, lambda _: self._look_at_choice())
        typed = self.session.task if start == TYPED else ""
        self._formula = gui.add_text("Formula", typed, hint="a reward over the quantities below")
        self._on_value(self._formula, lambda _: self._look_at_choice())
        self._verdict = gui.add_markdown("")
        self._on_click(gui.add_button("Take it, keep the belief"), lambda: self._set_task(True))
        self._on_click(gui.add_button("Take it, forget the belief"), lambda: self._set_task(False))

    def _build_presses(self) -> None:
        gui, session = self.server.gui, self.session
        with gui.add_folder("Your rewards"):
            if session.compares:
                self._on_click(gui.add_button("The last 2 s were better (G)", color="green"), self._compare(True))
                self._on_click(gui.add_button("The 2 s before were (B)", color="red"), self._compare(False))
                self._on_key("The last clip was better", "G", self._compare(True))
                self._on_key("The clip before was better", "B", self._compare(False))
            else:
                self._on_click(gui.add_button("Good (G)", color="green"), self._press(1.0))
                self._on_click(gui.add_button("Bad (B)", color="red"), self._press(-1.0))
                self._on_key("Good", "G", self._press(1.0))
                self._on_key("Bad", "B", self._press(-1.0))
                hold = gui.add_slider("Hold", -1.0, 1.0, 0.1, 0.0, hint="given four times a second until it is 0 again")
                self._on_value(hold, session.hold)

    def _build_belief(self) -> None:
        gui, session = self.server.gui, self.session
        names = [player.name for player in session.players]
        line = np.zeros(1)
        series = [uplot.Series(label="episode")]
        series += [
            uplot.Series(label=name, stroke=COLORS[index % len(COLORS)], width=2) for index, name in enumerate(names)
        ]
        series.append(uplot.Series(label="oracle", stroke="black", dash=(4, 4)))
        plain = {"x": uplot.Scale(time=False)}
        self._returns = gui.add_uplot(
            (line,) * len(series), tuple(series), title="Return by episode", scales=plain, aspect=1.7
        )
        pair = (
            uplot.Series(label="seconds"),
            uplot.Series(label="given", stroke=GREY, width=1.5),
            uplot.Series(label="predicted", stroke=VERMILION, width=1.5),
        )
        self._rewards = gui.add_uplot((line,) * 3, pair, title="Reward, last 10 s", scales=plain, aspect=1.7)
        self._numbers = gui.add_markdown("")
        if session.oracle is not None:
            oracle = gui.add_checkbox("Show the oracle's body", False)
            self._on_value(oracle, self._show_oracle)
        self._on_click(gui.add_button("Say it in words"), self._explain)
        self._words = gui.add_markdown("")

    def _build_rules(self) -> None:
        gui = self.server.gui
        self._rule = gui.add_dropdown("Acquisition", RULES)
        self._radius = gui.add_number("Confidence radius", 1.0, min=0.0, step=0.1)
        self._every = gui.add_number("Choose every (steps)", 25, min=1, step=1)
        for handle in (self._rule, self._radius, self._every):
            self._on_value(handle, lambda _: None)
        self._on_click(gui.add_button("Use these rules"), self._set_rules)
        self._rules_verdict = gui.add_markdown("The rules of the recipe.")

    def _build_keep(self) -> None:
        gui = self.server.gui
        self._on_click(gui.add_button("Save what it believes"), self._save)
        if self.scene is not None:
            film, picture = "Save the last episodes as a page", "Save the last 10 s as a GIF"
            self._on_click(gui.add_button(film), lambda: self._save_film("episodes.html", None))
            self._on_click(gui.add_button(picture), lambda: self._save_film("episode.gif", FILMED_SECONDS))
        self._kept = gui.add_markdown("")

    # What is done.

    def _clock(self, word: str) -> None:
        if word == "Pause / go":
            self.playing = not self.playing
        elif word == "One step":
            self.playing, self.steps_asked = False, self.steps_asked + 1
        else:
            self.session.new_episode()

    def _chosen_task(self) -> str:
        chosen = str(self._task.value)
        return OWN if chosen == OWN_TASK else str(self._formula.value) if chosen == TYPED else chosen

    def _look_at_choice(self) -> None:
        task = self._chosen_task()
        wrong = "" if task == OWN else self.session.check_task(task)
        if wrong:
            self._verdict.content = f"**{_plain(wrong)}**"
        elif self._task.value == TYPED:
            self._verdict.content = "The formula is a reward."
        else:
            self._verdict.content = ""

    def _set_task(self, keep: bool) -> None:
        task = self._chosen_task()
        if task != OWN and self.session.check_task(task):
            self._look_at_choice()
            return
        self.session.set_task(task, keep)
        belief = "kept" if keep else "forgotten"
        name = OWN_TASK if task == OWN else task
        self._verdict.content = f"The task is **{_plain(name)}** now; the belief is {belief}."

    def _press(self, value: float) -> Command:
        return lambda: self._note_press(self.session.press(value))

    def _compare(self, later: bool) -> Command:
        return lambda: self._note_press(self.session.compare(later))

    def _note_press(self, learnt: bool) -> None:
        if not learnt:
            self.session.message = "nothing to label yet: wait some seconds"

    def _show_oracle(self, shown: bool) -> None:
        self.session.shows_oracle = shown
        if shown:
            self.session.new_episode()

    def _set_rules(self) -> None:
        try:
            every = int(self._every.value)
            self.session.set_rules(str(self._rule.value), float(self._radius.value), every)
        except ValueError as error:
            self._rules_verdict.content = f"**{_plain(str(error))}**"
            return
        radius = f", radius {self._radius.value:g}" if self._rule.value == "ucb" else ""
        self._rules_verdict.content = f"Now {self._rule.value}{radius}, chosen every {every} steps."

    def _explain(self) -> None:
        try:
            self._words.content = _plain(self.session.explanation())
        except ValueError as error:
            self._words.content = f"**{_plain(str(error))}**"

    def _save(self) -> None:
        try:
            saved = self.session.save()
        except ValueError as error:
            self._kept.content = f"**{_plain(str(error))}**"
            return
        self._kept.content = (
            f"Saved {_plain(str(saved.record))}\n\nworks it out again:\n```\n{saved.replay}\n```\n"
            f"a film of what it does:\n```\n{saved.play}\n```\nits returns:\n```\n{saved.reuse}\n```"
        )

    def _save_film(self, name: str, seconds: float | None) -> None:
        if self._films.is_busy:
            self._kept.content = "A film is being written: press again when it is there."
            return
        path = self.session.free_path(self.session.out / "films" / name)
        self._kept.content = f"Writing {_plain(str(path))} ..."
        self._films.write(path, self.session.footage(seconds))

    def _film_written(self, path: Path, error: str | None) -> None:
        ending = "; it plays without a server." if path.suffix == ".html" else "."
        said = f"Saved {_plain(str(path))}{ending}" if error is None else f"**{_plain(error)}**"
        self.commands.put(lambda: setattr(self._kept, "content", said))

    # What is shown.

    def run_commands(self) -> None:
        """Do what viewers have asked for since the last time."""
        while True:
            try:
                command = self.commands.get_nowait()
            except queue.Empty:
                return
            command()

    def draw(self) -> None:
        """Bodies where they are now."""
        if self.scene is None:
            return
        session = self.session
        poses = [player.environment.poses(player.physics)[0] for player in session.players]
        oracle = session.oracle
        shown = oracle is not None and session.shows_oracle and not session.is_own
        self.scene.show(poses, oracle.environment.poses(oracle.physics)[0] if oracle is not None and shown else None)

    def refresh(self) -> None:
        """Numbers, plots and words."""
        session = self.session
        labels = ", ".join(f"{count:,}" for count in session.labels)
        predicted = session.moments[-1].predicted if session.moments else float("nan")
        task = OWN_TASK if session.is_own else session.task
        lines = [
            f"**{_plain(task)}** · episode {session.players[0].episode}, step {session.players[0].step}"
            f"{'' if self.playing else ' · paused'}",
            f"Labels: {labels} · Predicted reward: {predicted:.3f}",
        ]
        if session.message:
            lines.append(f"*{_plain(session.message)}*")
        _set(self._state, "\n\n".join(lines))
        if self._quantities is not None:
            values = session.quantities()
            _set(self._quantities, "\n".join(f"- `{name}` {value:.2f}" for name, value in values.items()))
        self._refresh_plots()
        if self.scene is not None:
            target = None if session.is_own else session.environment.target(session.task)
            if target != getattr(self, "_target", ()):
                self._target = target
                self.scene.show_goal(target)
            mean = session.players[0].mean()
            if self.plane is not None and self._plane_features is not None and mean is not None:
                self.scene.show_belief(self.plane, (self._plane_features @ mean).cpu().numpy())

    def _refresh_plots(self) -> None:
        session = self.session
        longest = max(len(player.returns) for player in session.players)
        if longest:
            rows = [np.arange(1.0, longest + 1)]
            rows += [_padded(player.returns, longest) for player in session.players]
            oracle = session.oracle_return
            rows.append(np.full(longest, np.nan if oracle is None else oracle))
            self._returns.data = tuple(rows)
        if session.moments:
            moments = np.array([(each.time, each.given, each.predicted) for each in session.moments])
            self._rewards.data = tuple(np.ascontiguousarray(column) for column in moments.T)
        width = ", ".join(f"{value:.3g}" for value in session.widths())
        oracle_words = "" if session.oracle_return is None else f"oracle's return {session.oracle_return:.0f}; "
        so_far = ", ".join(f"{player.total:.1f}" for player in session.players)
        _set(self._numbers, f"{oracle_words}return so far {so_far}; the belief's width along ψ {width}")

    def _features_of_plane(self) -> torch.Tensor | None:  # (n, d) float64
        if self.plane is None:
            return None
        bfm, spec = self.session.players[0].bfm, self.session.environment.spec
        still = torch.zeros(len(self.plane.physics), spec.action_size)
        with torch.no_grad():
            return bfm.features(self.plane.observation, still, self.plane.observation).double()


def _set(handle: Any, content: str) -> None:
    """Only what has changed goes to the browsers."""
    if handle.content != content:
        handle.content = content


def _padded(values: Any, length: int) -> np.ndarray:
    row = np.full(length, np.nan)
    row[: len(values)] = list(values)
    return row


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{each}" if each in "*_`#<>[]|" else each for each in text)
