from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.collectors import Collector
from torchrl.data import Bounded
from torchrl.modules import (
    MLP,
    AdditiveGaussianModule,
    LSTMModule,
    NormalParamExtractor,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    TanhNormal,
)

from bfmkit.components.explorers.random_network_distillation import RandomNetworkDistillation
from bfmkit.components.explorers.torchrl_policy import TorchRLPolicyExplorer
from bfmkit.data.exploration import explore
from bfmkit.data.shards import empty_transitions
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.testing.explorer import SPEC, ExplorerContract
from bfmkit.testing.models import BallEnvironment


def mean(spec: EnvironmentSpec = SPEC) -> TensorDictModule:
    network = MLP(in_features=spec.observation_size, out_features=spec.action_size, num_cells=[8])
    return TensorDictModule(torch.nn.Sequential(network, torch.nn.Tanh()), ["observation"], ["action"])


def gaussian(spec: EnvironmentSpec = SPEC) -> ProbabilisticActor:
    network = MLP(in_features=spec.observation_size, out_features=2 * spec.action_size, num_cells=[8])
    body = TensorDictModule(torch.nn.Sequential(network, NormalParamExtractor()), ["observation"], ["loc", "scale"])
    return ProbabilisticActor(body, in_keys=["loc", "scale"], distribution_class=TanhNormal)


def bounds(spec: EnvironmentSpec) -> Bounded:
    return Bounded(-1.0, 1.0, (3, spec.action_size))


def noisy(spec: EnvironmentSpec = SPEC) -> TensorDictSequential:
    return TensorDictSequential(mean(spec), AdditiveGaussianModule(spec=bounds(spec), device=None))


def swinging(spec: EnvironmentSpec = SPEC) -> TensorDictSequential:
    return TensorDictSequential(mean(spec), OrnsteinUhlenbeckProcessModule(spec=bounds(spec)))


def remembering(spec: EnvironmentSpec = SPEC) -> TensorDictSequential:
    memory = LSTMModule(spec.observation_size, 4, in_key="observation", out_key="memory", python_based=True)
    head = TensorDictModule(torch.nn.Linear(4, spec.action_size), ["memory"], ["action"])
    return TensorDictSequential(memory, head)


class TestTorchRLPolicyExplorer(ExplorerContract):
    def make(self) -> TorchRLPolicyExplorer:
        torch.manual_seed(3)
        return TorchRLPolicyExplorer(SPEC, gaussian())


@pytest.mark.parametrize("make", [gaussian, noisy, swinging, remembering])
def test_policies_of_torchrl_fill_a_block_of_episodes(make: Callable[..., Any]) -> None:
    environment = BallEnvironment(tasks=["task_0"] * 3, lengths=(5, 3, 4))
    torch.manual_seed(0)
    explorer = TorchRLPolicyExplorer(environment.spec, make(environment.spec))
    episodes = empty_transitions(environment.spec, 36).reshape(3, 12)
    assert explore(environment, explorer, episodes)
    assert episodes["next", "terminated"].sum() > 3
    assert episodes["action"].abs().max() <= 1 and episodes["action"].std() > 0


def test_a_memory_is_kept_from_step_to_step() -> None:
    explorer = TorchRLPolicyExplorer(SPEC, remembering())
    contract = ExplorerContract.walk
    observation = torch.ones(3, SPEC.observation_size)
    first = explorer.act(observation)
    contract(TestTorchRLPolicyExplorer(), explorer, 3)
    assert not torch.equal(explorer.act(observation), first)


def test_episodes_begin_where_a_block_was_cut_short() -> None:
    begun: list[torch.Tensor] = []

    def act(observation: torch.Tensor, is_init: torch.Tensor) -> torch.Tensor:
        begun.append(is_init.squeeze(-1))
        return observation[:, :4].tanh()

    environment = BallEnvironment(tasks=["task_0"] * 2, lengths=(5, 3))
    explorer = TorchRLPolicyExplorer(environment.spec, TensorDictModule(act, ["observation", "is_init"], ["action"]))
    for _ in range(2):
        assert explore(environment, explorer, empty_transitions(environment.spec, 8).reshape(2, 4))
    assert torch.stack(begun).tolist() == [[True, True], [False, False], [False, False], [False, True]] * 2


def test_a_recipe_names_the_function_that_makes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "my_policies.py").write_text(
        "import torch\nfrom tensordict.nn import TensorDictModule\n"
        "def make(spec):\n"
        "    network = torch.nn.Linear(spec.observation_size, spec.action_size)\n"
        "    return TensorDictModule(network, ['observation'], ['action'])\n"
        "def wrong(spec):\n    return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert TorchRLPolicyExplorer(SPEC, "my_policies:make").act(torch.zeros(3, 5)).shape == (3, 2)
    for path, message in (
        ("my_policies:nothing", "MODULE:FUNCTION"), ("no_such_module:make", "MODULE:FUNCTION"),
        ("my_policies", "MODULE:FUNCTION"), ("my_policies:wrong", "must be a TensorDict module that writes action"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            TorchRLPolicyExplorer(SPEC, path)


def test_an_explorer_acts_and_learns_in_torchrls_collector() -> None:
    """It learns the same as in our own loop: the collector's steps are the explorer's."""
    environment = BallEnvironment(tasks=["task_0"] * 3)
    small = {"width": 8, "embedding_dim": 4, "batch_size": 8, "warmup": 9, "capacity": 100}
    explorer = RandomNetworkDistillation(environment.spec, **small)
    before = {name: value.clone() for name, value in explorer.state_dict()["networks"].items()}
    collector = Collector(environment, explorer.policy, frames_per_batch=12, total_frames=48)
    for batch in collector:
        explorer.learn(batch)
    collector.shutdown()
    assert explorer.state_dict()["seen"] == 48
    after = explorer.state_dict()["networks"]
    assert not torch.equal(after["actor.0.weight"], before["actor.0.weight"])
    assert explorer.metrics()["novelty"] > 0
    observation = torch.randn(3, environment.spec.observation_size)
    torch.manual_seed(0)
    expected = explorer.act(observation)
    torch.manual_seed(0)
    assert torch.equal(explorer.policy(TensorDict({"observation": observation}, [3]))["action"], expected)
