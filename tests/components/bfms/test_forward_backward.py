from __future__ import annotations

import pytest
import torch

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.testing.bfm import BFMContract
from bfmkit.utils.linalg import least_squares_weights

SPEC = EnvironmentSpec("walker", 5, 2, 4, 100, 0.02, ("a",))


class TestForwardBackward(BFMContract):
    def make(self) -> ForwardBackward:
        torch.manual_seed(0)
        return ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=6)

    def test_least_squares_weights_are_the_papers_expectation(self) -> None:
        bfm, observations = self.make(), torch.randn(500, 5)
        bfm.fit_second_moment(observations)
        rewards = torch.rand(500, 1)
        with torch.no_grad():
            features = bfm.features(observations, observations, observations)
            expectation = (bfm.backward_map(bfm.scaled(observations)) * rewards).mean(0).double()
        torch.testing.assert_close(least_squares_weights(features, rewards)[0], expectation, rtol=1e-3, atol=1e-4)

    def test_observations_are_seen_standardised(self) -> None:
        bfm = self.make()
        observations = 7 + 3 * torch.randn(4000, 5)
        observations[:, 2] = 1.5
        bfm.fit_observation_scale(observations)
        scaled = bfm.scaled(observations)
        torch.testing.assert_close(scaled.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
        torch.testing.assert_close(scaled.std(0)[[0, 1, 3, 4]], torch.ones(4))
        assert scaled[:, 2].abs().max() < 1e-3, "a constant entry must not blow up"

    def test_knows_the_second_moment_of_its_features(self) -> None:
        bfm, observations = self.make(), torch.randn(500, 5)
        bfm.fit_second_moment(observations)
        with torch.no_grad():
            features = bfm.features(observations, observations, observations).double()
        torch.testing.assert_close(bfm.feature_second_moment(), features.mT @ features / 500, rtol=1e-3, atol=1e-4)

    def test_refuses_numbers_that_make_no_sense(self) -> None:
        for wrong in ({"dim": 0}, {"discount": 1.0}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                ForwardBackward(SPEC, TwoStreamNetworks(16, 16), **wrong)


def test_b_reads_the_named_entries_alone() -> None:
    torch.manual_seed(0)
    spec = EnvironmentSpec("body", 3, 2, 1, 100, 0.1, (), observation_names=("height", "speed", "rest"))
    bfm = ForwardBackward(spec, TwoStreamNetworks(16, 16, 2), dim=4, entries=["speed", "height"])
    states = torch.randn(5, 3)
    other = states.clone()
    other[:, 2] = 9.0
    assert torch.equal(bfm.backward_map(states), bfm.backward_map(other))
    assert not torch.equal(bfm.act(states, torch.randn(5, 4)), bfm.act(other, torch.randn(5, 4)))
    with pytest.raises(ValueError, match='no entry "sped"; did you mean "speed"'):
        ForwardBackward(spec, TwoStreamNetworks(16, 16, 2), entries=["sped"])
