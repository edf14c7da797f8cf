"""Contracts of posteriors: what holds for every likelihood, and what a linear-Gaussian one adds."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from typing import ClassVar

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import Posterior


class PosteriorContract(ABC):
    """Contract of every posterior, whatever its likelihood: subclass it in a test and build the posterior in ``make``.

    What a reward tells may depend on the reward itself, and updates may be approximate, so nothing here asks for
    closed forms; :class:`LinearGaussianPosteriorContract` does. Override :meth:`draw_rewards` where rewards are not
    φᵀw and noise.
    """

    forgets: ClassVar[bool] = False
    """Whether old rewards count for less than new ones."""
    order_matters: ClassVar[bool] = False
    """Whether the belief depends on the order of the rewards: noise of its own, or updates that approximate."""

    @abstractmethod
    def make(self) -> Posterior:
        """Posterior under test."""

    def draw_rewards(
        self,
        expected: Tensor,  # (runs, n) float64, φᵀw
        noise: Tensor,  # (runs, n) float64, standard normal
    ) -> Tensor:  # (runs, n)
        """Rewards of the posterior's likelihood; here φᵀw and normal noise."""
        return expected + 0.1 * noise

    def data(self, runs: int = 3, count: int = 12, dim: int = 5) -> tuple[Tensor, Tensor]:
        """(runs, count, dim) features and (runs, count) rewards, always the same."""
        features, rewards, _ = self._weighted_data(runs, count, dim)
        return features, rewards

    def _weighted_data(self, runs: int, count: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
        """The same, and the (runs, dim) weights behind them."""
        generator = torch.Generator().manual_seed(7)
        features = torch.randn(runs, count, dim, generator=generator, dtype=torch.float64)
        weights = torch.randn(runs, dim, generator=generator, dtype=torch.float64)
        noise = torch.randn(runs, count, generator=generator, dtype=torch.float64)
        return features, self.draw_rewards(torch.einsum("bnd,bd->bn", features, weights), noise), weights

    def learnt(self, posterior: Posterior, features: Tensor, rewards: Tensor) -> TensorDict:
        """Belief after updating on each pair in turn."""
        belief = posterior.prior(len(features), features.shape[-1])
        everyone = torch.ones(len(features), dtype=torch.bool)
        for step in range(features.shape[1]):
            belief = posterior.update(belief, features[:, step], rewards[:, step], everyone)
        return belief

    def test_steps_taken_in_at_once_are_those_taken_in_one_by_one(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        observed = torch.arange(36).reshape(3, 12) % 5 != 1
        features = features.masked_fill(~observed.unsqueeze(-1), torch.nan)
        rewards = rewards.masked_fill(~observed, torch.nan)
        before = self.learnt(posterior, *self.data(count=3))
        stepwise = before
        for step in range(12):
            stepwise = posterior.update(stepwise, features[:, step], rewards[:, step], observed[:, step])
        kept = before.clone()
        whole = posterior.update_batch(before, features, rewards, observed)
        pieces = posterior.update_batch(before, features[:, :5], rewards[:, :5], observed[:, :5])
        pieces = posterior.update_batch(pieces, features[:, 5:], rewards[:, 5:], observed[:, 5:])
        assert (before == kept).all()
        x = self.data(count=4)[0]
        for belief in (whole, pieces):
            # What is kept from rounding, and roots of a covariance, may be different numbers that mean the same.
            torch.testing.assert_close(posterior.mean(belief), posterior.mean(stepwise), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(posterior.std(belief, x), posterior.std(stepwise, x), rtol=1e-9, atol=1e-9)
            found, expected = posterior.predictive_std(belief, x), posterior.predictive_std(stepwise, x)
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        together = posterior.joint_information_gain(before, features, observed)
        one = posterior.joint_information_gain(before, features[:, :1], observed[:, :1])
        assert together.shape == (3,) and (together > one).all()
        alone = torch.where(observed[:, 0], posterior.information_gain(before, features[:, 0]), 0.0)
        torch.testing.assert_close(one, alone)
        with pytest.raises(ValueError):
            posterior.update_batch(before, features, rewards[:, :3], observed)
        with pytest.raises(ValueError):
            posterior.update_batch(before, features[:, :0], rewards[:, :0], observed[:, :0])

    def test_rewards_and_flags_count_alike_in_both_layouts(self) -> None:
        features, rewards = self.data(count=1)
        posterior = self.make()
        belief = posterior.prior(3, 5)
        observed = torch.tensor([True, False, True])
        plain = posterior.update(belief, features[:, 0], rewards[:, 0], observed)
        columns = posterior.update(belief, features[:, 0], rewards, observed.unsqueeze(-1))
        assert (plain == columns).all()
        for reward, flag, name in ((rewards.mT, observed, "reward"), (rewards, observed.unsqueeze(0), "observed")):
            with pytest.raises(ValueError, match=rf"{name} must be \(3,\) or \(3, 1\), got \(1, 3\)"):
                posterior.update(belief, features[:, 0], reward, flag)

    def test_prior_is_a_batch_of_equal_float64_beliefs(self) -> None:
        belief = self.make().prior(3, 5)
        assert belief.batch_size == torch.Size([3])
        for value in belief.values(True, True):
            assert value.dtype == torch.float64
            torch.testing.assert_close(value[0], value[2])
        assert self.make().mean(belief).shape == (3, 5)

    def test_update_leaves_its_argument_as_it_was(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        before = belief.clone()
        posterior.update(belief, features[:, 0], rewards[:, 0], torch.ones(3, dtype=torch.bool))
        posterior.condition_on(belief, features, rewards)
        assert (belief == before).all()

    def test_runs_do_not_touch_each_other(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        together = self.learnt(posterior, features, rewards)
        alone = self.learnt(posterior, features[1:2], rewards[1:2])
        for key, value in alone.items(True, True):
            torch.testing.assert_close(together.get(key)[1:2], value, rtol=1e-10, atol=1e-10)

    def test_what_was_not_observed_may_be_nan(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        observed = torch.tensor([True, False, True])
        dirty = features[:, 0].clone(), rewards[:, 0].clone()
        dirty[0][1], dirty[1][1] = float("nan"), float("inf")
        after = posterior.update(belief, *dirty, observed)
        clean = posterior.update(belief, features[:, 0], rewards[:, 0], observed)
        for key, value in after.items(True, True):
            assert value.isfinite().all(), key
            torch.testing.assert_close(value, clean.get(key), rtol=0, atol=0)

    def test_not_observing_teaches_nothing(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        after = posterior.update(belief, features[:, 0], rewards[:, 0], torch.zeros(3, dtype=torch.bool))
        x = features[:, 1]
        if self.forgets:
            assert (posterior.std(after, x) > posterior.std(belief, x)).all()
        else:
            torch.testing.assert_close(posterior.mean(after), posterior.mean(belief))
            torch.testing.assert_close(posterior.std(after, x), posterior.std(belief, x))

    def test_the_order_of_rewards_matters_only_where_said(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        there = self.learnt(posterior, features, rewards)
        back = self.learnt(posterior, features.flip(1), rewards.flip(1))
        if self.forgets or self.order_matters:
            assert not torch.allclose(posterior.std(there, features), posterior.std(back, features))
        else:
            torch.testing.assert_close(posterior.mean(there), posterior.mean(back))
            torch.testing.assert_close(posterior.std(there, features), posterior.std(back, features))

    def test_prior_is_a_function_of_the_runs_seeds(self) -> None:
        posterior = self.make()
        together, alone = posterior.prior_for([3, 4, 5], 5), posterior.prior_for([4], 5)
        for key, value in together.items(True, True):
            torch.testing.assert_close(alone.get(key), value[1:2])

    def test_draws_are_spread_about_the_mean(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        noise = torch.randn(3, 2000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        draws = posterior.sample(belief, noise)
        assert draws.dtype == torch.float64
        assert draws.isfinite().all()
        torch.testing.assert_close(draws[:, 7], posterior.sample(belief, noise[:, 7]))
        torch.testing.assert_close(draws[1:2], posterior.sample(belief[1:2], noise[1:2]))
        x = features[:, 0]
        spread = (
            (draws - posterior.mean(belief).unsqueeze(1)) @ x.unsqueeze(-1) / posterior.std(belief, x)[:, None, None]
        )
        assert (spread.median(1).values.abs() < 1.0).all()
        assert ((spread.quantile(0.84, 1) - spread.quantile(0.16, 1)) / 2.0 - 1.0).abs().max() < 0.5

    def test_sample_is_affine_in_the_noise(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        noise = torch.linspace(-2, 2, 30, dtype=torch.float64).reshape(3, 2, 5)
        torch.testing.assert_close(posterior.from_base_samples(belief, torch.zeros(3, 5)), posterior.mean(belief))
        first, second = posterior.from_base_samples(belief, noise).unbind(1)
        torch.testing.assert_close(first, posterior.from_base_samples(belief, noise[:, 0]))
        middle = posterior.from_base_samples(belief, 0.25 * noise[:, 0] + 0.75 * noise[:, 1])
        torch.testing.assert_close(middle, 0.25 * first + 0.75 * second)

    def test_width_is_that_of_the_samples(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        axes = torch.eye(5, dtype=torch.float64).expand(3, 5, 5)
        root = (posterior.from_base_samples(belief, axes) - posterior.mean(belief).unsqueeze(1)).mT
        expected = torch.linalg.vector_norm(root.mT @ features.mT, dim=-2)
        torch.testing.assert_close(posterior.std(belief, features), expected)

    def test_bounds_take_any_shape_and_precision(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        for x in (features[:, 0], features, features.reshape(3, 6, 2, 5)):
            value = posterior.ucb(belief, x, 0.7)
            mean = (x * posterior.mean(belief).reshape(3, *[1] * (x.ndim - 2), 5)).sum(-1)
            torch.testing.assert_close(value, mean + 0.7 * posterior.std(belief, x))
            assert posterior.information_gain(belief, x).shape == x.shape[:-1]
            single = posterior.ucb(belief, x.float(), 0.7)
            assert single.dtype == torch.float64
            torch.testing.assert_close(single, value, rtol=1e-5, atol=1e-5)

    def test_shapes_that_do_not_fit_are_refused(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = posterior.prior(3, 5)
        everyone = torch.ones(3, dtype=torch.bool)
        for arguments in (
            (features[:, 0, :4], rewards[:, 0], everyone),
            (features[:2, 0], rewards[:2, 0], everyone[:2]),
            (features[:, 0], rewards[:, :2], everyone),
        ):
            with pytest.raises(ValueError):
                posterior.update(belief, *arguments)

    def test_belief_survives_a_file(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        file = io.BytesIO()
        torch.save(belief.to_dict(), file)
        file.seek(0)
        again = TensorDict.from_dict(torch.load(file, weights_only=True), batch_size=[3])
        torch.testing.assert_close(posterior.mean(again), posterior.mean(belief), rtol=0, atol=0)

    def test_as_a_tensordict_module_it_updates(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = posterior.prior(3, 5)
        everyone = torch.ones(3, dtype=torch.bool)
        tensordict = TensorDict(
            {"belief": belief, "features": features[:, 0], "next": {"reward": rewards[:, :1]}, "observed": everyone},
            [3],
        )
        posterior(tensordict)
        expected = posterior.update(belief, features[:, 0], rewards[:, 0], everyone)
        torch.testing.assert_close(posterior.mean(tensordict["belief"]), posterior.mean(expected))

    def test_many_rewards_reveal_the_weights(self) -> None:
        features, rewards, weights = self._weighted_data(3, 150, 3)
        posterior = self.make()
        for belief in (
            self.learnt(posterior, features, rewards),
            posterior.condition_on(posterior.prior(3, 3), features, rewards),
        ):
            cosine = torch.nn.functional.cosine_similarity(posterior.mean(belief), weights, dim=-1)
            assert (cosine > 0.97).all()

    def test_labelled_transitions_narrow_the_belief_and_must_fit_it(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        prior = posterior.prior(3, 5)
        few = posterior.condition_on(prior, features[:, :4], rewards[:, :4])
        many = posterior.condition_on(few, features[:, 4:], rewards[:, 4:])
        x = features[:, 0]
        assert (posterior.std(few, x) < posterior.std(prior, x)).all()
        assert (posterior.std(many, x) < posterior.std(few, x)).all()
        for bad in ((features[:, :, :4], rewards), (features[:2], rewards[:2]), (features, rewards[:, :3])):
            with pytest.raises(ValueError):
                posterior.condition_on(prior, *bad)

    def test_a_reward_narrows_the_belief(self) -> None:
        features, rewards = self.data(count=6)
        posterior = self.make()
        belief = posterior.prior(3, 5)
        x = features[:, 0]
        after = posterior.update(belief, x, rewards[:, 0], torch.ones(3, dtype=torch.bool))
        assert (posterior.std(after, x) < posterior.std(belief, x)).all()
        assert (posterior.information_gain(belief, x) > 0).all()
        grown = posterior.log_determinant(after) - posterior.log_determinant(belief)
        assert grown.shape == (3,) and grown.isfinite().all()
        assert self.forgets or (grown > 0).all()

    def test_a_reward_is_foretold_for_any_shape(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = posterior.condition_on(posterior.prior(3, 5), features, rewards)
        for method in (posterior.predictive_mean, posterior.predictive_std):
            values = method(belief, features[:, :4])
            assert values.shape == (3, 4) and values.dtype == torch.float64 and values.isfinite().all()
            torch.testing.assert_close(method(belief, features[:, 0]), values[:, 0])
        assert (posterior.predictive_std(belief, features) > 0).all()


class LinearGaussianPosteriorContract(PosteriorContract):
    """Contract of posteriors of r = φᵀw + normal noise: closed forms, and gains that are known before the reward.

    Give the slow, obvious truth in ``exact_mean``.
    """

    tolerance: ClassVar[float] = 1e-8

    @abstractmethod
    def exact_mean(
        self,
        features: Tensor,  # (n, d) float64, oldest first
        rewards: Tensor,  # (n,) float64
    ) -> Tensor:  # (d,)
        """Exact mean after n updates, computed from all of the data at once."""

    def test_mean_is_that_of_all_data_at_once(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        mean = posterior.mean(self.learnt(posterior, features, rewards))
        assert mean.dtype == torch.float64
        for run in range(len(features)):
            truth = self.exact_mean(features[run], rewards[run])
            torch.testing.assert_close(mean[run], truth, rtol=self.tolerance, atol=self.tolerance)

    def test_condition_takes_a_batch_in_any_pieces(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        prior = posterior.prior(*features[:, 0].shape)
        whole = posterior.condition_on(prior, features, rewards)
        pieces = posterior.condition_on(
            posterior.condition_on(prior, features[:, :4], rewards[:, :4]), features[:, 4:], rewards[:, 4:]
        )
        torch.testing.assert_close(posterior.mean(whole), posterior.mean(pieces))
        torch.testing.assert_close(posterior.std(whole, features), posterior.std(pieces, features))
        if not self.forgets:
            stepwise = self.learnt(posterior, features, rewards)
            torch.testing.assert_close(posterior.mean(whole), posterior.mean(stepwise))
            torch.testing.assert_close(posterior.std(whole, features), posterior.std(stepwise, features))

    def test_log_determinant_grows_by_the_information_gained(self) -> None:
        features, rewards = self.data(count=6)
        posterior = self.make()
        belief, gain = posterior.prior(3, 5), torch.zeros(3, dtype=torch.float64)
        everyone = torch.ones(3, dtype=torch.bool)
        for step in range(6):
            one = posterior.information_gain(belief, features[:, step])
            after = posterior.update(belief, features[:, step], rewards[:, step], everyone)
            assert step > 0 or (posterior.information_gain(after, features[:, step]) < one).all()
            belief, gain = after, gain + one
        if not self.forgets:
            prior = posterior.prior(3, 5)
            torch.testing.assert_close(posterior.log_determinant(belief) - posterior.log_determinant(prior), gain)
            together = posterior.joint_information_gain(prior, features, torch.ones(3, 6, dtype=torch.bool))
            torch.testing.assert_close(together, gain)

    def test_a_reward_is_expected_where_the_weights_say_and_no_surer_than_they_are(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = posterior.condition_on(posterior.prior(3, 5), features, rewards)
        expected = (features @ posterior.mean(belief).unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(posterior.predictive_mean(belief, features), expected)
        assert (posterior.predictive_std(belief, features) >= posterior.std(belief, features)).all()
