from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.agents.tracking import TrackingAgent
from bfmkit.inference.episode import run_episode
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import BallEnvironment, LinearBFM


def stored(observation: np.ndarray, folder: Path) -> Path:
    np.savez(folder / "shown.npz", observation=observation)
    return folder / "shown.npz"


def circle(rows: int) -> np.ndarray:  # (n, 4)
    angle = np.linspace(0, 2 * np.pi, rows, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], 1)


class TestTrackingAgent(AgentContract):
    def make(self) -> TrackingAgent:
        with tempfile.TemporaryDirectory() as folder:
            return TrackingAgent(stored(circle(12), Path(folder)), lookahead=2)


def followed(agent: TrackingAgent, episodes: int = 1) -> np.ndarray:  # (steps, 4)
    agent.start(LinearBFM(labelled=4000), [0])
    places = []
    for _ in range(episodes):
        run_episode(agent, BallEnvironment(), lambda step: places.append(step.outcome.observation[0].numpy()))
    return np.array(places)


def test_goes_where_the_demonstration_goes_and_from_the_start_in_each_episode(tmp_path: Path) -> None:
    path = circle(20)
    places = followed(TrackingAgent(stored(path, tmp_path), lookahead=1), 2)
    # The data's features are equal in all directions but for their number, 4,000.
    assert np.abs(places - np.concatenate([path, path])).max() < 0.1


def test_looks_ahead_holds_and_repeats(tmp_path: Path) -> None:
    corners = np.eye(4)[[0, 1]]
    places = followed(TrackingAgent(stored(corners, tmp_path), lookahead=1, hold=3, repeat=True))
    assert places.argmax(1).tolist() == [0, 0, 0, 1, 1, 1] * 3 + [0, 0]
    places = followed(TrackingAgent(stored(corners, tmp_path), lookahead=1, hold=3))
    assert places.argmax(1).tolist() == [0] * 3 + [1] * 17
    ahead = followed(TrackingAgent(stored(corners, tmp_path), lookahead=2))[0]
    assert abs(ahead[0] - ahead[1]) < 0.1 and ahead[0] > 0.6


def test_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    shown = stored(np.zeros((3, 5)), tmp_path)
    for arguments in ({"lookahead": 0}, {"hold": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            TrackingAgent(shown, **arguments)
    with pytest.raises(ValueError, match=r"observations must be \(3, 4\)"):
        TrackingAgent(shown).start(LinearBFM(), [0])
    with pytest.raises(ValueError, match="inference set"):
        TrackingAgent(stored(np.zeros((3, 4)), tmp_path)).start(LinearBFM(labelled=0), [0])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TrackingAgent(tmp_path / "nowhere.npz")


def test_the_weights_are_those_of_least_squares_on_the_next_states(tmp_path: Path) -> None:
    from bfmkit.inference.offline import tracking_weights

    model, path = LinearBFM(), torch.from_numpy(circle(6)).float()
    weights = tracking_weights(model, path, lookahead=2, regularization=1e-9)
    features = model.inference_set()["next", "observation"].double()
    moment = features.mT @ features / len(features)
    torch.testing.assert_close(weights[0], torch.linalg.solve(moment, path[:2].double().mean(0)), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(weights[5], torch.linalg.solve(moment, path[5].double()), rtol=1e-6, atol=1e-8)
