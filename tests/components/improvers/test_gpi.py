from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.improvers.gpi import GPIImprover
from bfmkit.interfaces import InferredTask, ObservedStep
from bfmkit.testing.improver import ImproverContract
from bfmkit.testing.models import LinearBFM


def moment(z: Tensor, step: int, weights: Tensor) -> InferredTask:
    return InferredTask(z, torch.full((len(z),), step), lambda: weights)


def seen(runs: int) -> ObservedStep:
    flags = torch.ones(runs, dtype=torch.bool)
    rows = torch.zeros(runs, 4)
    return ObservedStep(rows, rows, rows, torch.zeros(runs).double(), flags, flags, flags)


class TestGPIImprover(ImproverContract):
    def make(self) -> GPIImprover:
        return GPIImprover(count=3, every=2)

    def test_the_policy_moves_from_the_inferred_one(self) -> None:
        """With one z inferred throughout there is nothing else to choose; what it does with several is below."""


@pytest.mark.parametrize("ensemble", ["min", "mean"])
def test_acts_for_the_best_of_the_last_latents(ensemble: str) -> None:
    improver, model = GPIImprover(count=2, every=1, ensemble=ensemble), LinearBFM()
    improver.start(model, [0, 1], torch.device("cpu"))
    weights = torch.eye(4)[[0, 1]].double()
    everyone = torch.ones(2, dtype=torch.bool)
    inferred = 2 * torch.eye(4)
    for step, index in enumerate([0, 1, 2]):
        z = inferred[index].expand(2, 4)
        improver.learn(seen(2), moment(z, step, weights), everyone)
    now = inferred[3].expand(2, 4)
    # The first latent is forgotten: run 0 is left with policies that earn nothing, run 1 with its best.
    chosen = improver.choose(torch.zeros(2, 4), moment(now, 3, weights), everyone)
    torch.testing.assert_close(chosen, torch.stack([now[0], inferred[1]]))


def test_before_anything_is_known_the_inferred_latent_is_all_there_is() -> None:
    improver = GPIImprover()
    improver.start(LinearBFM(), [0], torch.device("cpu"))
    z, weights = 2 * torch.eye(4)[:1], -torch.eye(4)[:1].double()
    assert torch.equal(improver.choose(torch.zeros(1, 4), moment(z, 0, weights), torch.tensor([True])), z)


@pytest.mark.parametrize("arguments", [{"count": 0}, {"every": 0}, {"ensemble": "max"}])
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        GPIImprover(**arguments)
