from __future__ import annotations

import pytest
import torch

from bfmkit.components.explorers.random import RandomExplorer
from bfmkit.testing.explorer import SPEC, ExplorerContract


class TestRandomExplorer(ExplorerContract):
    def make(self) -> RandomExplorer:
        return RandomExplorer(SPEC, keep=0.5)


def test_actions_are_uniform_and_kept_as_long_as_asked() -> None:
    torch.manual_seed(0)
    explorer = RandomExplorer(SPEC, keep=0.75)
    actions = torch.stack([explorer.act(torch.zeros(50, SPEC.observation_size)) for _ in range(400)])
    assert abs(actions.mean()) < 0.03
    assert abs(actions.square().mean() - 1 / 3) < 0.03
    kept = (actions[1:] == actions[:-1]).all(-1).double().mean()
    assert abs(kept - 0.75) < 0.02
    assert explorer.metrics()["steps_kept"] == pytest.approx(4, rel=0.1)


def test_refuses_to_keep_an_action_for_ever() -> None:
    with pytest.raises(ValueError, match="keep"):
        RandomExplorer(SPEC, keep=1.0)
