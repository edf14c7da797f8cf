"""One of two processes that train on halves of a batch; writes the gradients that it ends up with.

python joint_gradient.py LOCAL PORT FILE
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import lightning
import torch
from tensordict import TensorDict

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.simple import SimpleNetworks
from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
from bfmkit.data.sampling import UpdateGroups
from bfmkit.testing.objective import SPEC
from bfmkit.training.pretraining import Pretraining
from bfmkit.training.together import Place

ROWS, DIM = 24, 4


def batch() -> TensorDict:
    generator = torch.Generator().manual_seed(1)
    s, following = torch.randn(2, ROWS, SPEC.observation_size, generator=generator)
    action = torch.rand(ROWS, SPEC.action_size, generator=generator) * 2 - 1
    terminated = torch.arange(ROWS) % 7 == 0
    return TensorDict(
        {"observation": s, "action": action, "next": {"observation": following, "terminated": terminated}}, [ROWS]
    )


def objective(part: slice, **settings: float) -> ForwardBackwardObjective:
    """Without noise of its own: row i has the same z whoever looks at it."""
    torch.manual_seed(3)
    bfm = ForwardBackward(SPEC, SimpleNetworks(16, 16, 2), dim=DIM)
    made = ForwardBackwardObjective(bfm, action_noise=0.0, **settings)
    z = bfm.policy_latent(torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(2)))[part]
    made._sample_z = lambda backward: z
    return made


def gradients(made: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: each.grad.clone() for name, each in made.named_parameters() if each.grad is not None}


def main(local: int, port: int, file: Path) -> None:
    torch.set_num_threads(1)
    place = Place(devices=2, local=local, port=port)
    part = slice(local * ROWS // 2, (local + 1) * ROWS // 2)
    made = objective(part, measure_pessimism=0.25)
    batches = SimpleNamespace(chunk=lambda first, count: torch.stack([batch()[part]] * count))
    module = Pretraining(made, 1, 1e-3, "constant", None, file.parent, batches)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy=place.strategy(torch.device("cpu")), max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, UpdateGroups(1, 1, [], lambda: 0))
    torch.save(gradients(made), file)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
