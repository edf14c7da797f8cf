from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ensemble import EnsemblePosterior
from bfmkit.testing.posterior import LinearGaussianPosteriorContract
from bfmkit.utils.rng import normal_noise


class TestEnsemblePosterior(LinearGaussianPosteriorContract):
    order_matters = True

    def make(self) -> EnsemblePosterior:
        return EnsemblePosterior(members=40, noise_std=0.5, prior_std=2.0)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        precision = features.mT @ features / 0.25 + 0.25 * torch.eye(features.shape[-1], dtype=torch.float64)
        return torch.linalg.solve(precision, features.mT @ rewards / 0.25)

    def test_members_are_regressions_on_noisy_rewards(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = posterior.prior_for([5, 6, 7], 5)
        belief = posterior.condition_on(belief, features[:, :8], rewards[:, :8])
        for step in range(8, 12):
            belief = posterior.update(
                belief, features[:, step], rewards[:, step], torch.tensor([True, True, step < 10])
            )
        assert belief["labels"].tolist() == [12, 12, 10]
        for run, (seed, count) in enumerate([(5, 12), (6, 12), (7, 10)]):
            first = normal_noise([seed], "ensemble prior", [0], (40, 5))[0]
            noise = normal_noise([seed] * count, "ensemble reward", range(count), (40,))
            phi = features[run, :count]
            precision = phi.mT @ phi / 0.25 + 0.25 * torch.eye(5, dtype=torch.float64)
            labels = rewards[run, :count].unsqueeze(-1) + 0.5 * noise
            members = torch.linalg.solve(precision, 0.25 * 2.0 * first.mT + phi.mT @ labels / 0.25).mT
            torch.testing.assert_close(posterior.mean(belief)[run] + belief["deviations"][run], members)


def test_seeds_make_the_noise_differ() -> None:
    posterior = EnsemblePosterior()
    belief = posterior.prior_for([0, 1], 3)
    assert not torch.allclose(belief["deviations"][0], belief["deviations"][1])
    assert torch.equal(posterior.mean(belief), torch.zeros(2, 3, dtype=torch.float64))


def test_many_members_are_as_wide_as_the_posterior() -> None:
    ensemble, exact = EnsemblePosterior(3000, 0.3, 1.5), BayesianPosterior(0.3, 1.5)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 6, 3, generator=generator, dtype=torch.float64)
    rewards = torch.randn(1, 6, generator=generator, dtype=torch.float64)
    ours, theirs = (each.condition_on(each.prior(1, 3), features, rewards) for each in (ensemble, exact))
    torch.testing.assert_close(ensemble.mean(ours), exact.mean(theirs))
    torch.testing.assert_close(ensemble.std(ours, features), exact.std(theirs, features), rtol=0.05, atol=0)
    torch.testing.assert_close(ensemble.information_gain(ours, features), exact.information_gain(theirs, features))


def test_draws_are_members_each_as_often() -> None:
    posterior = EnsemblePosterior(members=4, prior_std=2.0)
    belief = posterior.prior_for([3], 2)
    noise = torch.randn(1, 4000, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = posterior.sample(belief, noise)[0]
    same = (draws.unsqueeze(1) == belief["deviations"][0]).all(-1)
    assert same.any(1).all()
    assert ((same.double().mean(0) - 0.25).abs() < 0.03).all()
    far = posterior.sample(belief, torch.tensor([[[-40.0, 0.0], [40.0, 0.0]]]))[0]
    assert torch.equal(far, belief["deviations"][0, [0, 3]])


def test_fewer_members_than_features_vary_along_as_many_directions() -> None:
    posterior = EnsemblePosterior(members=2, prior_std=1.0)
    belief = posterior.prior(1, 4)
    samples = posterior.from_base_samples(belief, torch.randn(1, 20, 4, generator=torch.Generator().manual_seed(2)))
    assert torch.linalg.matrix_rank(samples[0]) == 2
    x = torch.eye(4, dtype=torch.float64).unsqueeze(0)
    torch.testing.assert_close(posterior.std(belief, x)[0], belief["deviations"][0].square().mean(0).sqrt())


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="members"):
        EnsemblePosterior(members=0)
    for name in ("noise_std", "prior_std"):
        with pytest.raises(ValueError, match=name):
            EnsemblePosterior(**{name: 0.0})
    with pytest.raises(ValueError, match="seeds"):
        EnsemblePosterior().prior_for([2**60], 2)
