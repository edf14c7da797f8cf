"""Contract of candidate samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch

from bfmkit.interfaces import AcquisitionContext, CandidateSampler
from bfmkit.testing.acquisition import context, row


class CandidateSamplerContract(ABC):
    """Contract of candidate samplers: subclass it in a test and build the sampler in ``make``."""

    @abstractmethod
    def make(self) -> CandidateSampler:
        """The sampler under test."""

    def context(self, sampler: CandidateSampler, runs: int = 3) -> AcquisitionContext:
        """Context that a rule with radius 0.5 gives to the sampler."""
        mean = torch.tensor([0.5, -1.0, 0.25, 2.0])
        return replace(context(sampler.noise_shape(4), runs=runs, mean=mean), radius=0.5)

    def test_draws_finite_candidates_for_each_run(self) -> None:
        sampler = self.make()
        drawn = sampler.draw(self.context(sampler))
        assert drawn.ndim == 3
        assert (drawn.shape[0], drawn.shape[2]) == (3, 4)
        assert drawn.dtype == torch.float64
        assert drawn.isfinite().all()

    def test_the_situation_fixes_the_draw(self) -> None:
        sampler = self.make()
        given = self.context(sampler)
        torch.testing.assert_close(sampler.draw(given), self.make().draw(given), rtol=0, atol=0)

    def test_goes_with_the_posterior_that_it_draws_for(self) -> None:
        sampler = self.make()
        given = self.context(sampler)
        sampler.require(given.posterior, has_radius=given.radius is not None)

    def test_a_run_alone_draws_as_in_a_batch(self) -> None:
        sampler = self.make()
        given = self.context(sampler)
        together = sampler.draw(given)
        for index in range(3):
            torch.testing.assert_close(sampler.draw(row(given, index)), together[index : index + 1])
