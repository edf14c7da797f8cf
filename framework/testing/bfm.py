"""Contract of behaviour foundation models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import BFM, EnvironmentSpec


class BFMContract(ABC):
    """Contract of behaviour foundation models: subclass it in a test and build the model in ``make``."""

    tolerance: ClassVar[float] = 1e-4
    """How far rounding may carry the same computation in another batch, relative to the result's largest entry."""

    @abstractmethod
    def make(self) -> BFM:
        """The model under test, ready for use; called more than once, it gives the same model."""

    def inputs(self, bfm: BFM, *batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Observation, action, next observation and z."""
        generator = torch.Generator().manual_seed(5)
        spec = bfm.environment_spec
        observation, following = 0.3 * torch.randn(2, *batch, spec.observation_size, generator=generator)
        action = torch.rand(*batch, spec.action_size, generator=generator) * 2 - 1
        z = bfm.policy_latent(torch.randn(*batch, bfm.dim, generator=generator))
        return observation, action, following, z

    def assert_near(self, value: Tensor, expected: Tensor) -> None:
        """Assert that values are equal up to rounding."""
        scale = expected.abs().max().item()
        torch.testing.assert_close(value, expected, rtol=0, atol=self.tolerance * max(scale, 1e-6))

    def test_says_what_it_is(self) -> None:
        bfm = self.make()
        assert isinstance(bfm.environment_spec, EnvironmentSpec)
        assert bfm.dim > 0
        assert 0 <= bfm.discount < 1

    def test_any_batch_gives_the_right_shapes(self) -> None:
        bfm = self.make()
        with torch.no_grad():
            for batch in ((), (4,), (3, 2)):
                observation, action, following, z = self.inputs(bfm, *batch)
                assert z.shape == (*batch, bfm.dim)
                assert bfm.features(observation, action, following).shape == (*batch, bfm.dim)
                assert bfm.act(observation, z).shape == (*batch, bfm.environment_spec.action_size)
                for given in (None, action):
                    value = bfm.successor_features(observation, z, given)
                    assert value.shape[:-2] == batch
                    assert value.shape[-1] == bfm.dim
                    assert value.isfinite().all()

    def test_actions_are_within_bounds(self) -> None:
        bfm = self.make()
        with torch.no_grad():
            observation, _, _, z = self.inputs(bfm, 64)
            assert bfm.act(30 * observation, z).abs().max() <= 1 + 1e-6

    def test_the_action_left_out_is_the_policys_own(self) -> None:
        bfm = self.make()
        with torch.no_grad():
            observation, _, _, z = self.inputs(bfm, 8)
            given = bfm.successor_features(observation, z, bfm.act(observation, z))
            self.assert_near(bfm.successor_features(observation, z), given)

    def test_an_observation_meets_many_candidates(self) -> None:
        bfm = self.make()
        with torch.no_grad():
            observation, _, _, _ = self.inputs(bfm, 3)
            _, _, _, z = self.inputs(bfm, 3, 7)
            shared = bfm.candidate_successor_features(observation, z)
            repeated = observation.unsqueeze(1).expand(3, 7, -1)
            plain = bfm.successor_features(repeated, z)
            assert shared.shape == plain.shape
            self.assert_near(shared, plain)
            self.assert_near(bfm.successor_features(observation.unsqueeze(1), z), plain)
            self.assert_near(bfm.act(observation.unsqueeze(1), z), bfm.act(repeated, z))

    def test_rows_do_not_touch_each_other(self) -> None:
        bfm = self.make()
        with torch.no_grad():
            observation, action, following, z = self.inputs(bfm, 6)
            one = slice(2, 3)
            self.assert_near(bfm.act(observation[one], z[one]), bfm.act(observation, z)[one])
            self.assert_near(
                bfm.features(observation[one], action[one], following[one]),
                bfm.features(observation, action, following)[one],
            )
            self.assert_near(
                bfm.successor_features(observation[one], z[one]), bfm.successor_features(observation, z)[one]
            )

    def test_no_weights_are_no_nan(self) -> None:
        bfm = self.make()
        with torch.no_grad():
            z = bfm.policy_latent(torch.zeros(2, bfm.dim))
            observation = self.inputs(bfm, 2)[0]
            assert z.isfinite().all()
            assert bfm.act(observation, z).isfinite().all()
            assert bfm.successor_features(observation, z).isfinite().all()

    def test_as_a_tensordict_module_it_is_its_policy(self) -> None:
        bfm = self.make()
        with torch.no_grad():
            observation, _, _, z = self.inputs(bfm, 4)
            out = bfm(TensorDict({"observation": observation, "z": z}, [4]))
            self.assert_near(out["action"], bfm.act(observation, z))

    def test_inference_set_has_what_a_reward_needs(self) -> None:
        bfm = self.make()
        transitions = bfm.inference_set()
        if transitions is not None:
            count, spec = len(transitions), bfm.environment_spec
            assert transitions["observation"].shape == (count, spec.observation_size)
            assert transitions["action"].shape == (count, spec.action_size)
            assert transitions["next", "observation"].shape == (count, spec.observation_size)
            assert transitions["next", "physics"].shape == (count, spec.physics_size)
