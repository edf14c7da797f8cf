"""Rewards that a latent sampler draws, over the two entries that each depends on most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bfmkit.report.plots.style import panels, save_figure, styled

SHOWN = 12
BINS = 20


@styled()
def draw_rewards(
    path: Path,
    entries: Mapping[str, np.ndarray],  # name -> (n,)
    rewards: np.ndarray,  # (n, m)
) -> None:
    """Figure of the first twelve rewards, a panel each: mean reward over the two entries that explain most of it.

    Args:
        path: of the PNG file; how much of each reward each entry explains goes into a CSV file beside it.
        entries: what rewards are functions of.
        rewards: a column a reward.
    """
    rows = []
    figure, axes = panels(min(SHOWN, rewards.shape[1]))
    for number, axis in enumerate(axes):
        shares = {name: explained_share(values, rewards[:, number]) for name, values in entries.items()}
        first, second = [*sorted(shares, key=lambda name: -shares[name]), *entries][:2]
        axis.hexbin(
            entries[first], entries[second], C=rewards[:, number], gridsize=BINS, cmap="viridis", linewidths=0.1
        )
        axis.set(xlabel=first.replace("_", " "), ylabel=second.replace("_", " "))
        axis.grid(visible=False)
        rows += [{"reward": number + 1, "entry": name, "explained": share} for name, share in shares.items()]
    save_figure(figure, path, rows)


def explained_share(values: np.ndarray, reward: np.ndarray) -> float:  # (n,), (n,)
    """Correlation ratio: share of the variance of a reward that its mean by bins of one entry has."""
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    group = np.searchsorted(edges, values)
    count = np.bincount(group, minlength=BINS)
    means = np.bincount(group, reward, BINS) / np.maximum(count, 1)
    variance = float(reward.var())
    return float(means[group].var()) / variance if variance > 0 else 0.0
