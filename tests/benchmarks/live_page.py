"""Pace, processor time and memory of the live page.

    python tests/benchmarks/live_page.py                        half a minute, 40 steps/s wanted of at most one core
    python tests/benchmarks/live_page.py --steps 144000         an hour of steps as fast as they go, and memory

The first opens the page in headless Chromium and says how many steps a second the walker made, and which share of one
core this process took for simulation, agent and server. The second draws every step and refreshes the plots four times
a simulated second, as a page does that somebody watches; every two seconds a press is given, every quarter of an hour
the task changes. Resident memory is printed sixteen times; over the last three quarters it may grow by 50 MB: every
change of task relabels transitions, and the allocator keeps some of that, with a limit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle
from pathlib import Path

from measured import add_json, write_measured

from bfmkit.live.build import build_session
from bfmkit.live.page import Page
from bfmkit.live.serve import REFRESH_SECONDS, run_page
from bfmkit.live.server import page_server
from bfmkit.live.session import OWN
from bfmkit.utils.threads import pin_threads

SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SETTLING_SECONDS = 10.0
PRESS_SECONDS = 2.0
TASK_SECONDS = 900.0
MOST_CORES, MOST_GROWTH_MB = 1.0, 50.0


@contextmanager
def viewer(address: str) -> Iterator[None]:
    """Chromium, with the page open."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as program:
        browser = program.chromium.launch(executable_path=chromium, args=SOFTWARE)
        view = browser.new_page(viewport={"width": 1280, "height": 800})
        view.goto(address)
        view.locator("canvas").first.wait_for()
        yield
        browser.close()


def pace(recipe: str, port: int, seconds: float, watched: bool) -> dict[str, float]:
    """Steps a second and cores, of a page in real time."""
    with tempfile.TemporaryDirectory() as out, page_server("127.0.0.1", port) as server:
        page, done = Page(server, build_session(recipe, [], Path(out))), threading.Event()
        loop = threading.Thread(target=run_page, args=(page, done.is_set))
        loop.start()
        try:
            with viewer(f"http://127.0.0.1:{port}") if watched else nullcontext():
                time.sleep(SETTLING_SECONDS)
                steps, clock, processor = page.session.steps, time.perf_counter(), time.process_time()
                time.sleep(seconds)
                elapsed = time.perf_counter() - clock
                rate, cores = (page.session.steps - steps) / elapsed, (time.process_time() - processor) / elapsed
        finally:
            done.set()
            loop.join()
    wanted = 1.0 / page.session.control_timestep
    print(f"{recipe}: {rate:.1f} steps/s, {cores:.2f} cores (wanted: {wanted:.0f} steps/s, at most {MOST_CORES:g})")
    print("fast enough" if rate >= 0.98 * wanted and cores <= MOST_CORES else "NOT fast enough")
    return {"steps_per_s": rate, "cores": cores}


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(recipe: str, port: int, steps: int) -> dict[str, float]:
    """Resident memory along a session of so many steps."""
    held: list[float] = []
    with tempfile.TemporaryDirectory() as out, page_server("127.0.0.1", port) as server:
        session = build_session(recipe, [], Path(out))
        page = Page(server, session)
        rate = 1.0 / session.control_timestep
        tasks = cycle([OWN, *session.environment.spec.tasks])
        start = time.perf_counter()
        for step in range(1, steps + 1):
            page.run_commands()
            session.advance()
            page.draw()
            if step % round(REFRESH_SECONDS * rate) == 0:
                page.refresh()
            if step % round(PRESS_SECONDS * rate) == 0:
                session.press(1.0 if step % round(2 * PRESS_SECONDS * rate) else -1.0)
            if step % round(TASK_SECONDS * rate) == 0:
                session.set_task(next(tasks), keep_belief=True)
            if step % max(1, steps // 16) == 0:
                held.append(resident_mb())
                passed = step / (time.perf_counter() - start)
                print(f"{step:>8,} steps {step / rate / 60:6.1f} min  {held[-1]:7.1f} MB  {passed:5.0f}/s", flush=True)
    growth = held[-1] - held[len(held) // 4]
    print(
        f"growth over the last three quarters: {growth:+.1f} MB, {'flat' if growth <= MOST_GROWTH_MB else 'NOT flat'}"
    )
    return {"steps": steps, "first_mb": held[0], "last_mb": held[-1], "growth_mb": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="opti_bfm_two_stage")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--unwatched", action="store_true", help="no browser")
    parser.add_argument("--steps", type=int, help="measure memory over so many steps instead")
    parser.add_argument("--port", type=int, default=18790)
    add_json(parser)
    arguments = parser.parse_args()
    pin_threads(1)
    if arguments.steps:
        numbers = memory(arguments.recipe, arguments.port, arguments.steps)
    else:
        numbers = pace(arguments.recipe, arguments.port, arguments.seconds, not arguments.unwatched)
    write_measured(arguments.json, numbers)


if __name__ == "__main__":
    main()
