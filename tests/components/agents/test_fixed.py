from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bfmkit.components.agents.fixed import FixedAgent
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.inference.episode import run_episode
from bfmkit.inference.offline import weights_from_goal
from bfmkit.runs.record import RecordError
from bfmkit.runs.recording import inferred_record
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import BallEnvironment, LinearBFM


class TestFixedAgent(AgentContract):
    @pytest.fixture(autouse=True)
    def _record(self, tmp_path: Path) -> None:
        bfm = LinearBFM()
        inferred = weights_from_goal(bfm, RidgePosterior(), torch.tensor([0.0, 1.0, 0.0, 0.0]))
        inferred_record(inferred, bfm, {}, None).save(tmp_path / "x.safetensors")
        self.path = tmp_path / "x.safetensors"

    def make(self) -> FixedAgent:
        return FixedAgent(self.path)

    def test_acts_for_the_weights_of_the_record(self) -> None:
        agent = self.started()
        environment = BallEnvironment(tasks=["task_1"] * 3)
        assert (run_episode(agent, environment).returns > 18).all()
        assert agent.state["labels"].tolist() == [0, 0, 0]

    def test_another_model_is_refused(self) -> None:
        with pytest.raises(RecordError, match="any more"):
            self.make().start(LinearBFM(discount=0.5), [0])
        with pytest.raises(RecordError, match="no such file"):
            FixedAgent(self.path.with_name("gone.safetensors"))
