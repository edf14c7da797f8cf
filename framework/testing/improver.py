"""Contract of improvers."""

from __future__ import annotations

from abc import abstractmethod

import pytest
import torch

from bfmkit.inference.episode import run_episode
from bfmkit.inference.fallback import Fallback
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.interfaces import Acquisition, Agent, Improver, Posterior, QueryRule
from bfmkit.registry import lookup
from bfmkit.testing.agent import AgentContract

WEIGHTS = torch.tensor([[0.6, 0.8, 0.0, 0.0], [0.0, 0.6, 0.0, 0.8], [0.8, 0.6, 0.0, 0.0]])
"""What the contract's runs act for: in part for the tasks that they have."""


class ImproverContract(AgentContract):
    """Contract of improvers: subclass it in a test and build a small one in ``make``.

    It is put into the agent ``fine_tuning`` without a fallback, and has to do all that :class:`AgentContract` asks of
    an agent; and once with one, on a base that infers from few rewards.
    """

    @abstractmethod
    def make(self) -> Improver:
        """The improver under test; it must have begun to change the policy within 40 steps."""

    def agent(self) -> Agent:
        """Agent that improves from the first step, on a base with fixed weights."""
        return lookup(Agent, "fine_tuning")(_Base(), self.make(), None)

    def test_the_policy_moves_from_the_inferred_one(self) -> None:
        agent, actions = self.started(), []
        environment = self.environment()
        for _ in range(3):
            run_episode(agent, environment, lambda step: actions.append(step.action.clone()))
        base = torch.nn.functional.normalize(WEIGHTS, dim=-1)
        assert (torch.stack(actions)[-20:] - base).abs().max() > 1e-4

    def test_without_rewards_nothing_goes_wrong(self) -> None:
        agent = self.started()
        agent.begin_episode()
        observation = torch.full((3, 4), 0.1)
        for _ in range(30):
            action = agent.act(observation)
            assert action.isfinite().all() and action.abs().max() <= 1 + 1e-6
            missing = torch.zeros(3, dtype=torch.bool)
            agent.observe(observation, action, action, torch.full((3,), float("nan")), missing)
            observation = action
        assert agent.state["labels"].tolist() == [0, 0, 0]

    def test_on_a_base_that_asks_for_few_rewards_its_runs_are_the_same_alone(self) -> None:
        together = self._inferring([11, 3, 8])
        whole = [run_episode(together, environment).returns for environment in [self.environment()] for _ in range(4)]
        assert (together.state["labels"] < together.state["step"]).all()
        assert together.state["fine_tuning", "anchored"].all()
        for run, seed in enumerate((11, 3, 8)):
            agent, environment = self._inferring([seed]), self.environment([run])
            for episode in range(4):
                alone = run_episode(agent, environment).returns
                torch.testing.assert_close(alone, whole[episode][run : run + 1], rtol=1e-5, atol=1e-5)
            assert agent.policies() == [(together.policies() or [])[run]]

    def _inferring(self, seeds: list[int]) -> Agent:
        """Agent that infers for an episode, and then improves where that pays."""
        posterior, rule = lookup(Posterior, "ridge")(), lookup(QueryRule, "d_gap")(0.05)
        base = lookup(Agent, "task_inference")(posterior, lookup(Acquisition, "thompson")(), query_rule=rule)
        agent: Agent = lookup(Agent, "fine_tuning")(base, self.make(), Fallback(warmup=1, check_every=5))
        agent.start(self.model(), seeds)
        return agent

    def test_only_the_base_keeps_a_belief(self) -> None:
        improver = self.make()
        with pytest.raises(AttributeError):
            lookup(Agent, "fine_tuning")(_Base(), improver, None).belief  # noqa: B018


class _Base(FixedWeightsAgent):
    """For each number of runs the rows that belong to its seeds."""

    def __init__(self) -> None:
        super().__init__(WEIGHTS)

    def prepare(self, labelled):  # type: ignore[no-untyped-def]
        rows = [_ROW_OF_SEED[seed] for seed in self.seeds]
        return {"solution": WEIGHTS[rows].double().to(self.device)}


_ROW_OF_SEED = {11: 0, 3: 1, 8: 2}
