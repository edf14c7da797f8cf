from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bfmkit.jobs.generality import GeneralityJob, NamedModel
from bfmkit.runs.run_directory import read_metrics
from bfmkit.testing.job import JobContract
from bfmkit.testing.models import BallEnvironment, LinearBFM

REWARDS = {"east": "x_0", "northwest": "x_1 - x_0", "slope": "0.3 * x_2 + 0.4 * x_3"}


class NarrowBFM(LinearBFM):
    """Every inferred z is that of one task."""

    def policy_latent(self, weights: Tensor) -> Tensor:
        if weights.shape[0] > 20:  # random latents: as they are
            return super().policy_latent(weights)
        return torch.zeros_like(weights).index_fill(-1, torch.tensor([2]), -2.0)


def job(**settings: object) -> GeneralityJob:
    given = {"models": {"exact": LinearBFM()}, "rewards": REWARDS, "episodes": 3, "random_latents": 40, **settings}
    given["models"] = [NamedModel(*item) for item in given["models"].items()]
    given["rewards"] = [f"{name} = {formula}" for name, formula in given["rewards"].items()]
    return GeneralityJob(environment=BallEnvironment(), **given)  # type: ignore[arg-type]


class TestGeneralityJob(JobContract):
    def make(self) -> GeneralityJob:
        return job()


def test_an_exact_model_is_above_chance_and_a_narrow_one_below(tmp_path: Path) -> None:
    found = job(models={"exact": LinearBFM(), "narrow": NarrowBFM()}).run(tmp_path, torch.device("cpu"))["models"]
    assert found["exact"]["above_random"] == 3
    assert found["narrow"]["above_random"] == 0
    # The best a step is |w|, for 20 steps.
    best = {"east": 20.0, "northwest": 20 * 2**0.5, "slope": 10.0}
    for name, value in best.items():
        row = found["exact"]["rewards"][name]
        assert row["oracle_return"] == pytest.approx(value, rel=0.02)
        assert 0.5 * value < row["random_return"] < value
        assert row["oracle_standard_error"] == pytest.approx(0, abs=1e-6)
    assert [(row["model"], row["reward"]) for row in read_metrics(tmp_path)] == [
        (model, reward) for model in ("exact", "narrow") for reward in REWARDS
    ]


def test_the_search_finds_the_same_whatever_its_batches(tmp_path: Path) -> None:
    one, other = (job(batch_size=size, random_latents=7).run(tmp_path, torch.device("cpu")) for size in (7, 3))
    assert one == other


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": {}}, "at least one model"),
        ({"rewards": {}}, "at least one"),
        ({"rewards": {"up": "x_9"}}, "x_9"),
        ({"rewards": {"late": "x_0 * (step > 3)"}}, "depends on the step"),
        ({"models": {"bare": LinearBFM(labelled=0)}}, "model bare brings no inference set"),
        ({"models": {"other": LinearBFM(dim=5)}}, "the model other was made for"),
        ({"episodes": 0}, "episodes"),
    ],
)
def test_refuses_what_makes_no_sense(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        job(**settings)
