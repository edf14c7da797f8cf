from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bfmkit.components.bfms.metamotivo import Metamotivo

GOLDEN = Path(__file__).parents[3] / "golden"


@pytest.mark.parametrize("kind", ["simple", "residual"])
def test_reproduces_the_reference(kind: str) -> None:
    folder = GOLDEN / f"metamotivo_{kind}"
    bfm = Metamotivo(str(folder))
    known = {name: torch.from_numpy(value) for name, value in np.load(folder / "io.npz").items()}
    observation, action, z = known["observation"], known["action"], known["z"]

    def near(found: Tensor, name: str) -> None:
        torch.testing.assert_close(found, known[name], rtol=0, atol=1e-5 * float(known[name].abs().max()))

    near(bfm.successor_features(observation, z, action).movedim(-2, 0), "forward")
    near(bfm.backward_map(observation), "backward")
    near(bfm.act(observation, z), "act_mean")
    near(bfm.policy_latent(torch.full((3, 16), 2.0)), "raw")
    rewards = torch.linspace(0, 1, 10)
    near(bfm.policy_latent((rewards @ bfm.backward_map(observation)).unsqueeze(0)), "reward_inference")
