from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bfmkit.report.page import Written, write_report
from bfmkit.report.run_reader import chosen, read_runs
from bfmkit.runs.run_directory import SUMMARY

ERROR = "task task_0, seed 1, episode 2: <b>the reward</b> is not finite"


@pytest.fixture(scope="module")
def written(finder: Path, guesser: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("report")
    failed = Path(shutil.copytree(guesser, folder / "failed"))
    summary = json.loads((failed / SUMMARY).read_text())
    (failed / SUMMARY).write_text(json.dumps({**summary, "stopped": [ERROR]}))
    return write_report(read_runs([finder, failed]), folder / "report.html")


def test_a_renamed_task_keeps_its_moving_picture(finder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    runs = chosen(read_runs([finder]), labels={"task_0": "first"})
    written = write_report(runs, tmp_path / "report.html", say=said.append)
    text = written.page.read_text()
    assert "of first, seed" in text and "data:image/webp" in text and "nothing was traced" not in text
    assert f"moving picture of {runs[0].name}, first" in said


@dataclass
class Seen(HTMLParser):
    """Every address in a page, and which tags it has."""

    addresses: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_the_page_needs_nothing_but_itself(written: Written) -> None:
    text = written.page.read_text()
    seen = Seen()
    seen.feed(text)
    assert all(address.startswith(("data:", "#")) for address in seen.addresses)
    assert "@import" not in text and "url(" not in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert seen.tags.count("script") == 1  # what a run directory says is text
    assert "<b>the reward" not in text


def test_the_page_says_what_was_run_and_what_failed(written: Written) -> None:
    text = written.page.read_text()
    for words in (
        "bfmkit run finder --out finder",
        "0123456789ab, with changes",
        "agent.posterior.type",
        "all 2 tasks",
    ):
        assert words in text
    assert "the reward" in text and "Runs failed in guesser" in text
    assert text.count('data-still="data:image/png') == 1


def test_what_cannot_be_drawn_is_said_and_the_rest_goes_on(written: Written) -> None:
    # The recipe in the fixture has no environment to draw.
    assert "the body could not be drawn" in written.page.read_text()


def test_tables_and_figures_lie_beside_it(written: Written) -> None:
    assert "| finder | all 2 tasks |" in written.markdown.read_text()
    assert "finder & all 2 tasks &" in written.latex.read_text()
    names = {path.name for path in written.figures.iterdir()}
    assert {
        "return_by_episode.png",
        "return_by_episode.csv",
        "return_by_labels.png",
        "profiles.png",
        "belief.png",
    } <= names


def test_a_run_without_a_trace_and_without_rivals_has_less_to_show(guesser: Path, tmp_path: Path) -> None:
    written = write_report(read_runs([guesser]), tmp_path / "one.html", videos=0)
    text = written.page.read_text()
    assert "Who improves on whom" not in text and "only what differs" not in text
    assert not (written.figures / "belief.png").exists()
    assert "None: every run came through." in text


def test_a_run_of_another_job_is_reported_without_episodes(tmp_path: Path) -> None:
    run = tmp_path / "study"
    (run / "figures").mkdir(parents=True)
    (run / "recipe.yaml").write_text("type: regret\ndims: [2, 3]\n")
    (run / "summary.json").write_text('{"episodes": 40, "exponent": 0.51234}')
    (run / "figures" / "regret.png").write_bytes(b"\x89PNG")
    (tmp_path / "report.md").write_text("of a report before")
    written = write_report(read_runs([run]), tmp_path / "report.html")
    text = written.page.read_text()
    assert not written.markdown.exists() and not written.latex.exists()  # there are no tables
    assert "Regret" in text and "0.5123" in text and "[2, 3]" in text
    assert 'id="results"' not in text


def test_a_benchmark_is_shown_with_its_own_recipe_and_all_that_failed(contest: Path, tmp_path: Path) -> None:
    written = write_report(read_runs([contest]), tmp_path / "report.html", videos=0)
    text = re.sub(r"\s*\n\s*", "", written.page.read_text())
    # Eight cells, one of which has no episode; the oracle's are none of them.
    assert "<dt>runs</dt><dd>8, of which 1 failed</dd>" in text
    assert "<dt>references</dt><dd>1 failed</dd>" in text
    assert "<td>reference oracle</td><td>down</td>" in text
    assert "| reference oracle | down | 8 | episode 1: the reward is not finite |" in written.markdown.read_text()
    shown = text[text.index('id="benchmarks"') : text.index('id="recipes"')]
    for path, value in (
        ("recipes", "[first, second]"), ("overrides", "[bfm.discount=0.5]"), ("episodes", "2"), ("seeds", "[7, 8]"),
        ("batch_size", "64"), ("threads", "1"),
    ):  # fmt: skip
        assert f'<th scope="row">{path}</th><td>{value}</td>' in shown
    recipes = text[text.index('id="recipes"') :]
    assert '<th scope="row">seeds</th><td>[7, 8]</td><td>[7, 8]</td>' in recipes


def test_without_benchmarks_there_is_no_section_of_them(written: Written) -> None:
    assert 'id="benchmarks"' not in written.page.read_text()


# In a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, extra `dev`")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as program:
        try:
            # As root, Chromium runs only without its sandbox; the page is our own.
            started = program.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium can be started here: {str(error).splitlines()[0]}")
        yield started
        started.close()


@dataclass
class Visit:
    """A page in a browser, with what it said and what it asked for."""

    page: Any
    said: list[str]
    asked: list[str]


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
def visit(request: pytest.FixtureRequest, browser: Any, written: Written) -> Iterator[Visit]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    visit = Visit(page, [], [])
    page.on("console", lambda message: visit.said.append(message.text))
    page.on("pageerror", lambda error: visit.said.append(str(error)))
    page.on("request", lambda request: visit.asked.append(request.url))
    page.goto(written.page.as_uri())
    yield visit
    assert visit.said == []
    assert [address for address in visit.asked if not address.startswith(("data:", "file:"))] == []
    assert [address for address in visit.asked if address.startswith("file:")] == [written.page.as_uri()]
    context.close()


def test_the_page_fits_its_window_and_its_pictures_load(visit: Visit) -> None:
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sizes = visit.page.evaluate("[...document.querySelectorAll('figure img')].map(i => [i.complete, i.naturalWidth])")
    assert len(sizes) >= 5
    assert all(complete and width > 100 for complete, width in sizes)


def test_colours_follow_the_scheme_and_the_button(visit: Visit) -> None:
    def ground() -> int:
        found = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", found)[:3]))

    before = ground()
    visit.page.click("#theme")
    assert (before > 380) != (ground() > 380)


def test_tables_sort_by_click(visit: Visit) -> None:
    def column(number: int) -> list[str]:
        return visit.page.locator(f"#results-table tbody tr td:nth-child({number})").all_inner_texts()

    visit.page.click("#results-table th:nth-child(5) button")
    values = [float(text.replace(",", "")) for text in column(5) if text not in ("", "–")]
    assert values == sorted(values) and len(set(values)) > 1
    assert visit.page.get_attribute("#results-table th:nth-child(5)", "aria-sort") == "ascending"
    visit.page.click("#results-table th:nth-child(5) button")
    texts = column(5)
    values = [float(text.replace(",", "")) for text in texts if text not in ("", "–")]
    assert values == sorted(values, reverse=True)
    assert texts[-1] == ""  # what has no number stays at the end
    visit.page.click("#results-table th:nth-child(2) button")
    assert column(2) == sorted(column(2))
    assert visit.page.get_attribute("#results-table th:nth-child(5)", "aria-sort") == "none"


HIDDEN = """(() => {
    const view = document.querySelector('#large .view');
    return [view.scrollWidth - view.clientWidth, view.scrollHeight - view.clientHeight];
})()"""


def test_what_is_wider_than_the_page_says_so_where_it_goes_on(visit: Visit) -> None:
    state = """[...document.querySelectorAll('.scroll')].map((box) => [
        box.scrollWidth > box.clientWidth, !box.previousElementSibling.hidden, box.classList.contains('more-right'),
        getComputedStyle(box).maskImage !== 'none',
    ])"""
    boxes = visit.page.evaluate(state)
    assert all(len(set(box)) == 1 for box in boxes)
    results = visit.page.locator(".scroll").first
    assert boxes[0][0] == (visit.page.viewport_size["width"] == 390)
    if boxes[0][0]:
        results.evaluate("(box) => box.scrollTo(box.scrollWidth, 0)")
        visit.page.wait_for_function("document.querySelector('.scroll.more-left:not(.more-right)')")


def test_letters_are_as_large_in_all_pictures_where_there_is_room(visit: Visit) -> None:
    shares = visit.page.evaluate("[...document.querySelectorAll('img.plot')].map(i => i.clientWidth / i.naturalWidth)")
    if visit.page.viewport_size["width"] == 1280:
        assert max(shares) < 1.05 * min(shares)
    # Whatever the room, none is drawn out beyond that.
    assert max(shares) < 0.6


def test_pictures_enlarge(visit: Visit) -> None:
    small = visit.page.locator("figure img").nth(2).bounding_box()
    visit.page.locator(".enlarge").nth(2).click()
    assert visit.page.locator("#large[open]").count() == 1
    width = visit.page.locator("#large img").bounding_box()["width"]
    assert width > small["width"]
    # All of it is seen at first, and more of less by a second tap; a third goes back.
    assert visit.page.evaluate(HIDDEN) == [0, 0]
    visit.page.locator("#large img").click(position={"x": width - 5, "y": 5})
    assert visit.page.locator("#large img").bounding_box()["width"] >= 2 * width - 1
    hidden = visit.page.evaluate(HIDDEN)
    assert hidden[0] > 0
    left, top = visit.page.evaluate("(view => [view.scrollLeft, view.scrollTop])(document.querySelector('.view'))")
    assert left > 0.9 * hidden[0] and top == 0
    visit.page.locator("#large .zoom").press("Enter")
    assert visit.page.evaluate(HIDDEN) == [0, 0]
    visit.page.keyboard.press("Escape")
    assert visit.page.locator("#large[open]").count() == 0
    visit.page.locator(".enlarge").first.click()
    visit.page.locator("#large .close").click()
    assert visit.page.locator("#large[open]").count() == 0


def test_moving_pictures_stand_still_when_asked(visit: Visit) -> None:
    source = "document.querySelector('img.moving').src.slice(0, 15)"
    assert visit.page.evaluate(source) == "data:image/webp"
    visit.page.click(".pause")
    assert visit.page.evaluate(source) == "data:image/png;"
    assert visit.page.inner_text(".pause") == "play"


def test_what_is_alike_can_be_shown(visit: Visit) -> None:
    rows = visit.page.locator("#recipes-table tbody tr")
    shown = "[...document.querySelectorAll('#recipes-table tbody tr')].filter(r => r.offsetParent).length"
    fewer = visit.page.evaluate(shown)
    visit.page.locator("[data-differences=recipes-table]").uncheck()
    assert visit.page.evaluate(shown) == rows.count() > fewer > 0
