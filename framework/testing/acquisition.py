"""Contract of acquisition rules."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from bfmkit.interfaces import Acquisition, AcquisitionContext
from bfmkit.testing.models import LinearBFM
from bfmkit.testing.posteriors import KnownPosterior


def context(
    noise_shape: tuple[int, ...],
    runs: int = 3,
    dim: int = 4,
    mean: Tensor | None = None,  # (d,)
    root: Tensor | None = None,  # (d, d)
    seed: int = 0,
) -> AcquisitionContext:
    """Context of B runs with equal beliefs in an exactly solvable world, each with its own observation and noise."""
    generator = torch.Generator().manual_seed(seed)
    posterior = KnownPosterior(mean, root)
    return AcquisitionContext(
        posterior=posterior,
        belief=posterior.prior(runs, dim),
        bfm=LinearBFM(dim),
        observation=torch.randn(runs, dim, generator=generator) / dim,
        weights=torch.randn(runs, dim, generator=generator, dtype=torch.float64),
        noise=torch.randn(runs, *noise_shape, generator=generator, dtype=torch.float64),
        episode=torch.arange(runs),
    )


def row(whole: AcquisitionContext, index: int) -> AcquisitionContext:
    """Context of one run of a batch, alone."""
    rows = slice(index, index + 1)
    return AcquisitionContext(
        whole.posterior, whole.belief[rows], whole.bfm, whole.observation[rows], whole.weights[rows], whole.noise[rows],
        whole.episode[rows], whole.radius, whole.value,
    )  # fmt: skip


class AcquisitionContract(ABC):
    """Contract of acquisition rules: subclass it in a test and build the rule in ``make``."""

    @abstractmethod
    def make(self) -> Acquisition:
        """The rule under test."""

    def context(self, rule: Acquisition, zero: bool = False) -> AcquisitionContext:
        """Context of three runs; with a posterior mean of zero if asked."""
        mean = torch.tensor([0.0, 0.0, 0.0, 0.0] if zero else [0.5, -1.0, 0.25, 2.0])
        return context(rule.noise_shape(4), mean=mean)

    def test_proposes_a_finite_weight_for_each_run(self) -> None:
        rule = self.make()
        for zero in (False, True):
            weights = rule.propose(self.context(rule, zero))
            assert weights.shape == (3, 4)
            assert weights.dtype == torch.float64
            assert weights.isfinite().all()
            assert (weights != 0).any(dim=-1).all()

    def test_the_situation_fixes_the_choice(self) -> None:
        rule = self.make()
        given = self.context(rule)
        before = given.belief.clone(), given.weights.clone(), given.noise.clone()
        first = rule.propose(given)
        torch.testing.assert_close(rule.propose(given), first, rtol=0, atol=0)
        torch.testing.assert_close(self.make().propose(given), first, rtol=0, atol=0)
        assert (given.belief == before[0]).all()
        assert torch.equal(given.weights, before[1])
        assert torch.equal(given.noise, before[2])

    def test_a_run_alone_chooses_as_in_a_batch(self) -> None:
        rule = self.make()
        given = self.context(rule)
        together = rule.propose(given)
        for index in range(3):
            torch.testing.assert_close(rule.propose(row(given, index)), together[index : index + 1])

    def test_goes_with_the_posterior_that_it_chooses_by(self) -> None:
        rule = self.make()
        rule.require(self.context(rule).posterior)
