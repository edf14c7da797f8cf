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
PATIENCE = 150_000
"""Milliseconds; a software renderer on a busy machine is slow."""
SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@dataclass
class Visit:
    session: LiveSession
    browser: Any
    page: Page
    view: Any = None  # the first page of it
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, address: str, width: int = 640, height: int = 900) -> Any:
        """Another page of the browser; what it says and asks for is kept."""
        view = self.browser.new_page(viewport={"width": width, "height": height})
        view.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        view.on("pageerror", lambda error: self.errors.append(str(error)))
        view.on("request", lambda request: self.asked.append(request.url))
        view.goto(address, timeout=PATIENCE)
        return view

    def wait(self, text: str) -> None:
        # In the page, if perhaps scrolled or folded away: layout waits for frames, and those are slow in software.
        self.view.get_by_text(re.compile(text)).first.wait_for(timeout=PATIENCE, state="attached")

    def choose(self, task: str) -> None:
        self.view.get_by_role("textbox", name="Task").or_(self.view.get_by_label("Task")).first.click(
            timeout=PATIENCE, force=True
        )
        self.view.get_by_role("option", name=task, exact=True).dispatch_event("click", timeout=PATIENCE)

    def press(self, button: str) -> None:
        self.view.get_by_role("button", name=button, exact=True).dispatch_event("click", timeout=PATIENCE)


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
            visit = Visit(session, browser, page)
            visit.view = visit.open(f"http://127.0.0.1:{PORT}")
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
    visit.view.evaluate("document.activeElement.blur()")  # keys are for whatever has the focus
    visit.view.keyboard.press("b")
    visit.wait("Labels: 2")
    assert before is not None and not before.equal(session.players[0].mean())
    # Kept, and worked out again.
    visit.press("Pause / go")
    visit.view.get_by_text("Keep", exact=True).dispatch_event("click", timeout=PATIENCE)
    visit.press("Save what it believes")
    visit.wait("Saved")
    (path,) = (session.out / "records").glob("*.safetensors")
    record = Record.load(path)
    assert record.facts["rewards"]["late"] == 2 and replay(record).same
    # A film that plays without a server.
    visit.press("Save the last episodes as a page")
    visit.wait("it plays without a server")
    (film,) = (session.out / "films").glob("*.html")
    played = visit.open(film.as_uri())
    played.locator("canvas").first.wait_for(timeout=PATIENCE)
    played.close()
    # A moving picture, drawn while the body moves on.
    visit.press("Pause / go")
    before_picture = session.steps
    visit.press("Save the last 10 s as a GIF")
    visit.wait(r"Saved .*episode\.gif")
    assert session.steps > before_picture and (session.out / "films" / "episode.gif").stat().st_size > 10_000
    visit.press("Pause / go")
    # A second viewer, on a phone, only watches; the panel leaves the body in the middle in sight.
    second = visit.open(f"http://127.0.0.1:{PORT}", 390, 844)
    panel = second.locator('.mantine-Paper-root[style*="bottom: 0"]')
    panel.get_by_text("Your rewards").wait_for(timeout=PATIENCE, state="attached")
    box = panel.bounding_box(timeout=PATIENCE)
    assert box["y"] > 844 / 2 and box["width"] == 390
    second.get_by_role("button", name="Good (G)", exact=True).dispatch_event("click", timeout=PATIENCE)
    for _ in range(PATIENCE // 100):
        if visit.page.refused:
            break
        second.wait_for_timeout(100)
    assert visit.page.refused == 1
    assert session.labels == [2]
    second.close()
    # Back to a task of the environment.
    visit.choose("walk")
    visit.press("Take it, keep the belief")
    visit.wait("the belief is kept")
    assert session.task == "walk" and session.labels == [2]
    # A tab that is closed hands over to the next.
    heir = visit.open(f"http://127.0.0.1:{PORT}")
    heir.get_by_text("Your rewards").wait_for(timeout=PATIENCE, state="attached")
    visit.view.close()
    presses, visit.view = session.presses, heir
    for _ in range(PATIENCE // 500):
        visit.press("Good (G)")
        heir.wait_for_timeout(500)
        if session.presses > presses:
            break
    assert session.presses > presses
    assert visit.errors == []
    own = (f"http://127.0.0.1:{PORT}", "blob:", "data:", film.as_uri())
    strangers = [url for url in visit.asked if not url.startswith(own)]
    assert visit.asked and strangers == []
