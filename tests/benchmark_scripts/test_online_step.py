"""The script that times one online step: what it would record as a CUDA graph is what an agent does."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.utils.rng import normal_noise


@torch.no_grad()
@pytest.mark.parametrize("runs", [1, 3])
def test_the_plain_step_computes_what_the_agent_computes(runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    script = importlib.import_module("online_step")
    torch.manual_seed(0)
    bfm = ForwardBackward(script.WALKER, TwoStreamNetworks(width=16, encoder_width=16), dim=4).eval()
    rule = UCBAcquisition(EllipsoidCandidates(count=8), confidence_radius=0.5)
    agent, plain = TaskInferenceAgent(RidgePosterior(), rule), script.PlainStep(bfm, rule, runs)
    agent.start(bfm, list(range(runs)))
    held = {name: tensor.data_ptr() for name, tensor in plain.belief.items()}
    for step in range(5):
        observation, following, reward = torch.randn(runs, 24), torch.randn(runs, 24), torch.rand(runs)
        plain.noise.copy_(normal_noise(range(runs), "acquisition", [step] * runs, rule.noise_shape(4)))
        plain.observation.copy_(observation)
        plain.next_observation.copy_(following)
        plain.reward.copy_(reward)
        plain.choose()
        plain.learn()
        action = agent.act(observation)
        agent.observe(observation, action, following, reward)
        torch.testing.assert_close(plain.action, action)
        for name, tensor in plain.belief.items():
            torch.testing.assert_close(tensor, agent.belief[name])
    # A graph reads and writes where it did when it was recorded.
    assert held == {name: tensor.data_ptr() for name, tensor in plain.belief.items()}


@torch.no_grad()
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU, and CUDA graphs are recorded on one")
def test_a_recorded_step_computes_what_the_plain_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    script = importlib.import_module("online_step")
    torch.manual_seed(0)
    bfm = ForwardBackward(script.WALKER, TwoStreamNetworks(width=16, encoder_width=16), dim=4).eval().to("cuda")
    rule = UCBAcquisition(EllipsoidCandidates(count=8), confidence_radius=0.5)
    plain, recorded = script.PlainStep(bfm, rule, 2, "cuda"), script.PlainStep(bfm, rule, 2, "cuda")
    replay = recorded.record()
    recorded.belief.update_(recorded.posterior.prior(2, 4, "cuda"))
    for step in range(3):
        noise = normal_noise(range(2), "acquisition", [step] * 2, rule.noise_shape(4))
        following, reward = torch.randn(2, 24), torch.rand(2)
        for each in (plain, recorded):
            each.noise.copy_(noise)
            each.next_observation.copy_(following)
            each.reward.copy_(reward)
        plain.choose()
        plain.learn()
        replay()
        torch.testing.assert_close(recorded.belief["mean"], plain.belief["mean"])
        torch.testing.assert_close(recorded.action, plain.action)
