"""Contract of latent samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from bfmkit.interfaces import LatentContext, LatentSampler
from bfmkit.models.layers import project


class LatentSamplerContract(ABC):
    """Contract of latent samplers: subclass it in a test and build one for states of five entries in ``make``."""

    @abstractmethod
    def make(self) -> LatentSampler:
        """The sampler under test."""

    def context(self, rows: int = 64, dim: int = 6) -> LatentContext:
        """Random states, features that are linear in them, and goals; always the same."""
        generator = torch.Generator().manual_seed(5)
        observation, mix = torch.randn(rows, 5, generator=generator), torch.randn(5, dim, generator=generator)
        goals = project(torch.randn(rows, dim, generator=generator))
        return LatentContext(observation, lambda: observation @ mix, goals, project)

    def test_draws_one_latent_a_row_on_the_sphere(self) -> None:
        context = self.context()
        torch.manual_seed(0)
        z = self.make().sample(context)
        assert z.shape == context.goals.shape
        assert z.dtype == context.goals.dtype
        assert not z.requires_grad
        torch.testing.assert_close(z.norm(dim=-1), torch.full((len(z),), z.shape[1] ** 0.5), rtol=1e-3, atol=0)

    def test_draws_are_those_of_torchs_generator(self) -> None:
        context, sampler = self.context(), self.make()
        draws = []
        for _ in range(2):
            torch.manual_seed(1)
            draws.append(sampler.sample(context))
        assert torch.equal(*draws)

    def test_rows_differ(self) -> None:
        torch.manual_seed(2)
        z = self.make().sample(self.context())
        assert z.std(0).min() > 0

    def test_changes_nothing_that_it_is_given(self) -> None:
        context, before = self.context(), self.context()
        self.make().sample(context)
        for name in ("observation", "features", "goals"):
            assert torch.equal(getattr(context, name), getattr(before, name)), name
