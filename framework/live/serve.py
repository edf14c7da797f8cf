"""Real-time loop of the page."""

from __future__ import annotations

import time
from collections.abc import Callable

from bfmkit.live.page import Page

FRAME_SECONDS = 1 / 30
REFRESH_SECONDS = 0.25
IDLE_SECONDS = 0.02
BEHIND_SECONDS = 0.5
"""A loop that is farther behind goes on from now, and does not hurry after."""


def run_page(page: Page, until: Callable[[], bool] = lambda: False) -> None:
    """Loop of the page: step, draw and answer until told to stop.

    Args:
        page: over a session.
        until: asked between two steps.
    """
    session = page.session
    due = drawn = refreshed = time.perf_counter()
    while not until():
        page.run_commands()
        now = time.perf_counter()
        if page.playing or page.steps_asked:
            page.steps_asked = max(0, page.steps_asked - 1)
            session.advance()
            due = max(due + session.control_timestep / page.speed, now - BEHIND_SECONDS)
        else:
            due = now + IDLE_SECONDS
        watched = bool(page.server.get_clients())
        if watched and now - drawn >= FRAME_SECONDS:
            page.draw()
            drawn = now
        if watched and now - refreshed >= REFRESH_SECONDS:
            page.refresh()
            refreshed = now
        time.sleep(max(0.0, due - time.perf_counter()))
