from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.components.bfms.metamotivo import Metamotivo
from bfmkit.components.environments.torchrl import TorchRLEnvironment
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.interfaces import Dataset, EnvironmentSpec
from bfmkit.models.layers import project
from bfmkit.recipe import load_recipe
from bfmkit.testing.bfm import BFMContract
from bfmkit.utils.linalg import least_squares_weights

GOLDEN = Path(__file__).parents[2] / "golden"
KINDS = ["simple", "residual"]


class Data(Dataset):
    """States drawn at random, as many as asked for."""

    def __init__(self, count: int = 300, observation: int = 24) -> None:
        self.spec = EnvironmentSpec("walker", observation, 6, 2, 100, 0.02, ("stand",))
        self.transitions = TensorDict(
            {
                "observation": torch.randn(count, observation),
                "action": torch.rand(count, 6),
                "next": {
                    "observation": torch.randn(count, observation),
                    "physics": torch.randn(count, 2).double(),
                    "terminated": torch.zeros(count, 1, dtype=torch.bool),
                },
            },
            [count],
        ).auto_batch_size_(1)

    def __len__(self) -> int:
        return len(self.transitions)

    def read(self, indices: Tensor) -> TensorDict:
        return self.transitions[indices]

    def to_device(self, device: torch.device | str, keys: list) -> TensorDict:
        return self.transitions.select(*keys).to(device)


class TestSimple(BFMContract):
    def make(self) -> Metamotivo:
        return Metamotivo(str(GOLDEN / "metamotivo_simple"))


class TestResidualWithData(BFMContract):
    def make(self) -> Metamotivo:
        torch.manual_seed(0)
        return Metamotivo(str(GOLDEN / "metamotivo_residual"), inference_data=Data())


@pytest.mark.parametrize("kind", KINDS)
def test_with_data_least_squares_gives_the_formats_own_inference(kind: str) -> None:
    """w = argmin E[(φᵀw − r)²] with φ = C⁻¹B is E[B r], whose projection is the format's z for the reward."""
    torch.manual_seed(1)
    data = Data(500)
    bfm = Metamotivo(str(GOLDEN / f"metamotivo_{kind}"), inference_data=data)
    known = bfm.inference_set()
    states = known["next", "observation"]
    rewards = states[:, 0].double()
    features = bfm.features(known["observation"], known["action"], states)
    weights = least_squares_weights(features, rewards.unsqueeze(-1), 1e-12)[0]
    expected = project((rewards @ bfm.backward_map(states).double()) / len(states))
    found = bfm.policy_latent(weights)
    cosine = torch.nn.functional.cosine_similarity(found, expected, dim=0)
    assert float(cosine) > 1 - 1e-3
    assert bfm.environment_spec == data.spec and known.batch_size == (500,)
    moment = bfm.feature_second_moment()
    actual = features.double().mT @ features.double() / 500
    torch.testing.assert_close(moment, actual, rtol=1e-3, atol=1e-3 * float(actual.abs().max()))


def test_takes_so_many_transitions_at_most() -> None:
    bfm = Metamotivo(str(GOLDEN / "metamotivo_simple"), inference_data=Data(), transitions=100)
    assert bfm.inference_set().batch_size == (100,)
    assert ("next", "terminated") not in bfm.inference_set().keys(True)


def test_without_data_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        bfm = Metamotivo(str(GOLDEN / "metamotivo_simple"))
    assert "no second moment" in caplog.text and "inference_data" in caplog.text
    assert bfm.inference_set() is None and bfm.feature_second_moment() is None
    caplog.clear()
    Metamotivo(str(GOLDEN / "metamotivo_simple"), inference_data=Data())
    assert caplog.text == ""


def test_an_unknown_body_fits_every_body_of_its_sizes() -> None:
    bfm = Metamotivo(str(GOLDEN / "metamotivo_simple"))
    EnvironmentSpec("walker", 24, 6, 18, 100, 0.02, ("stand",)).require_compatible(bfm.environment_spec, "the model")
    with pytest.raises(ValueError, match="observation_size 24"):
        EnvironmentSpec("cheetah", 17, 6, 18, 100, 0.02, ("run",)).require_compatible(bfm.environment_spec, "the model")


def test_data_of_another_body_are_refused() -> None:
    with pytest.raises(ValueError, match="size 17"):
        Metamotivo(str(GOLDEN / "metamotivo_simple"), inference_data=Data(observation=17))


@pytest.mark.parametrize("wrong", [{"discount": 1.0}, {"transitions": 0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Metamotivo(str(GOLDEN / "metamotivo_simple"), **wrong)


WALKER = {"name": "DMControlEnv", "arguments": {"env_name": "walker", "task_name": "walk"}}


def online(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    recipe = load_recipe(
        "opti_bfm_two_stage",
        [
            f"bfm={{type: metamotivo, path: {GOLDEN / 'metamotivo_simple'}}}",
            f"environment={json.dumps({'type': 'torchrl', **WALKER, 'episode_steps': 20})}",
            "agent.acquisition.candidates={type: ellipsoid, count: 8}",
            "episodes=2",
            *overrides,
        ],
    )
    out = tmp_path / "run"
    out.mkdir()
    return recipe.build().run(out, torch.device("cpu"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_online_inference_runs_in_a_torchrl_environment(tmp_path: Path) -> None:
    task = online(tmp_path)["tasks"]["own_reward"]
    assert len(task["return_per_episode"]) == 2
    assert all(0 < value < 20 for value in task["return_per_episode"])
    assert task["oracle_return"] is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_with_data_of_that_environment_there_is_an_oracle(tmp_path: Path) -> None:
    environment = TorchRLEnvironment(**WALKER, task=["own_reward"] * 2, episode_steps=20)
    claim(tmp_path / "data", environment.spec)
    rows = empty_transitions(environment.spec, 40)
    torch.manual_seed(0)
    observation, _ = environment.reset_batch()
    for step in range(20):
        here, action = slice(2 * step, 2 * step + 2), torch.rand(2, 6) * 2 - 1
        outcome = environment.step_batch(action)
        rows["observation"][here], rows["action"][here] = observation, action
        rows["next", "observation"][here], rows["next", "physics"][here] = outcome.observation, outcome.physics
        observation = outcome.observation
    ShardWriter(tmp_path / "data", "shard-000", environment.spec, 40).append(rows)
    data = f"bfm.inference_data={{type: memory_map, path: {tmp_path / 'data'}}}"
    task = online(tmp_path, data)["tasks"]["own_reward"]
    assert 0 < task["oracle_return"] < 20
