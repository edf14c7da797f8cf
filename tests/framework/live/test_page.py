"""The page in a real browser."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bfmkit.live.build import build_session
from bfmkit.live.page import OWN_TASK, TYPED, Page
from bfmkit.live.serve import run_page
from bfmkit.live.server import page_server
from bfmkit.live.session import LiveSession
from bfmkit.runs.record import Record
from bfmkit.runs.replay import replay

PORT = 18787
PATIENCE = 60_000
"""Milliseconds; a software renderer on a busy machine is slow."""
SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@dataclass
class Visit:
    session: LiveSession
    view: Any  # playwright's page
    page: Page
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def wait(self, text: str) -> None:
        self.view.get_by_text(re.compile(text)).first.wait_for(timeout=PATIENCE)

    def choose(self, task: str) -> None:
        self.view.get_by_role("textbox", name="Task").or_(self.view.get_by_label("Task")).first.click(
            timeout=PATIENCE, force=True
        )
        self.view.get_by_role("option", name=task, exact=True).click(timeout=PATIENCE, force=True)

    def press(self, button: str) -> None:
        self.view.get_by_role("button", name=button, exact=True).click(timeout=PATIENCE, force=True)


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, extra `dev`")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    session = build_session("opti_bfm_two_stage", ["environment.episode_steps=200", "agent.schedule.steps=5"], tmp_path)
    with page_server("127.0.0.1", PORT) as server, playwright.sync_playwright() as program:
        try:
            browser = program.chromium.launch(executable_path=chromium, args=SOFTWARE)
        except playwright.Error as error:
            pytest.skip(f"no Chromium can be started here: {str(error).splitlines()[0]}")
        page, done = Page(server, session), threading.Event()
        loop = threading.Thread(target=run_page, args=(page, done.is_set))
        loop.start()
        try:
            view = browser.new_page(viewport={"width": 640, "height": 900})
            visit = Visit(session, view, page)
            view.on("console", lambda said: visit.errors.append(said.text) if said.type == "error" else None)
            view.on("pageerror", lambda error: visit.errors.append(str(error)))
            view.on("request", lambda request: visit.asked.append(request.url))
            view.goto(f"http://127.0.0.1:{PORT}", timeout=PATIENCE)
            yield visit
        finally:
            done.set()
            loop.join()
            browser.close()


def test_a_person_teaches_in_the_browser(visit: Visit) -> None:
    session = visit.session
    visit.wait("Labels: [1-9]")
    # A wrong formula, then a right one.
    visit.choose(TYPED)
    formula = visit.view.locator("input.mantine-TextInput-input").last  # viser ties no label to it
    formula.fill("upright * speed")
    visit.wait('column 11: no quantity "speed"')
    formula.fill("2 * upright")
    visit.wait("The formula is a reward")
    visit.press("Take it, forget the belief")
    visit.wait("the belief is forgotten")
    assert session.task == "2 * upright"
    # A person's own rewards.
    visit.choose(OWN_TASK)
    visit.press("Take it, forget the belief")
    visit.wait("Labels: 0")
    visit.wait(r"Predicted reward: 0\.000")
    visit.press("Good (G)")
    visit.wait("Labels: 1")
    visit.wait(r"Predicted reward: (?!0\.000)")
    before = session.players[0].mean()
    visit.view.keyboard.press("b")
    visit.wait("Labels: 2")
    assert before is not None and not before.equal(session.players[0].mean())
    # Kept, and worked out again.
    visit.press("Pause / go")
    visit.view.get_by_text("Keep", exact=True).click(timeout=PATIENCE, force=True)
    visit.press("Save what it believes")
    visit.wait("Saved")
    (path,) = (session.out / "records").glob("*.safetensors")
    record = Record.load(path)
    assert record.facts["rewards"]["late"] == 2 and replay(record).same
    # Back to a task of the environment.
    visit.choose("walk")
    visit.press("Take it, keep the belief")
    visit.wait("the belief is kept")
    assert session.task == "walk" and session.labels == [2]
    assert visit.errors == []
    strangers = [url for url in visit.asked if not url.startswith((f"http://127.0.0.1:{PORT}", "blob:", "data:"))]
    assert visit.asked and strangers == []
