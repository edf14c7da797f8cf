"""Figures as matplotlib has them, not as pixels."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written during a test."""
    kept: list[Figure] = []
    write = Figure.savefig

    def savefig(figure: Figure, *words: object, **options: object) -> None:
        write(figure, *words, **options)
        kept.append(figure)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return kept
