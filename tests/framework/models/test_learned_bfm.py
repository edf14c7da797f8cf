from __future__ import annotations

import pytest
import torch

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.models.learned_bfm import CANDIDATES_AT_ONCE

SPEC = EnvironmentSpec("walker", 5, 2, 4, 100, 0.02, ("a",))


def test_candidates_of_many_runs_are_those_of_each_run() -> None:
    torch.manual_seed(0)
    bfm = ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=6).double()
    runs, count = 7, CANDIDATES_AT_ONCE // 3
    observation, z = torch.randn(runs, 5).double(), bfm.policy_latent(torch.randn(runs, count, 6).double())
    z.requires_grad_()
    together = bfm.candidate_successor_features(observation, z)
    assert together.shape == (runs, count, 2, 6)
    for run in range(runs):
        alone = bfm.successor_features(observation[run].expand(count, 5), z[run])
        torch.testing.assert_close(together[run], alone)
    (gradient,) = torch.autograd.grad(together.sum(), z)
    assert gradient.abs().sum(-1).all()


@pytest.mark.parametrize("size", [1, 4, 6])
def test_an_observation_of_another_size_is_refused_and_not_broadcast(size: int) -> None:
    bfm = ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=6)
    with pytest.raises(ValueError, match=rf"must have 5 entries, got {size}; environment.fitted_to"):
        bfm(observation=torch.zeros(3, size), z=bfm.policy_latent(torch.ones(3, 6)))
