from __future__ import annotations

import sys
import webbrowser

import pytest

from bfmkit.cli.browser import open_page


@pytest.mark.parametrize(
    ("platform", "is_terminal", "variables", "opens"),
    [
        ("linux", True, {"DISPLAY": ":0"}, True),
        ("linux", True, {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", True, {"BROWSER": "firefox"}, True),
        ("linux", True, {}, False),
        ("linux", False, {"DISPLAY": ":0"}, False),
        ("darwin", True, {}, True),
        ("darwin", False, {}, False),
    ],
)
def test_a_page_opens_only_where_somebody_looks_on(
    monkeypatch: pytest.MonkeyPatch, platform: str, is_terminal: bool, variables: dict[str, str], opens: bool
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    open_page("file:///film.html")
    assert opened == (["file:///film.html"] if opens else [])
