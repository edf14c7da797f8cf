"""One of two processes that train on halves of a batch; writes the gradients and statistics that it ends up with.

python joint_gradient.py LOCAL PORT FILE
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import lightning
import torch

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.bfms.td_jepa import TDJepa
from bfmkit.components.bfms.universal_sf import UniversalSF
from bfmkit.components.feature_maps.encoder import EncoderFeatures
from bfmkit.components.feature_maps.hilp_state import HilpStateFeatures
from bfmkit.components.feature_objectives.contrastive import ContrastiveObjective
from bfmkit.components.feature_objectives.hilp import HilpObjective
from bfmkit.components.feature_objectives.laplacian import LaplacianObjective
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
from bfmkit.components.objectives.td_jepa import TDJepaObjective
from bfmkit.components.objectives.universal_sf import UniversalSFObjective
from bfmkit.data.sampling import UpdateGroups
from bfmkit.interfaces import FeatureMap, FeatureObjective, Objective
from bfmkit.testing.objective import SPEC, transitions
from bfmkit.training.cluster import cluster_arguments
from bfmkit.training.lightning_module import Pretraining
from bfmkit.training.pretraining_options import OptimizerOptions

ROWS, DIM = 24, 4
NETWORKS = TwoStreamNetworks(16, 16, 2)


def _universal(features: FeatureMap, learner: FeatureObjective) -> UniversalSFObjective:
    return UniversalSFObjective(UniversalSF(SPEC, features, NETWORKS), learner, action_noise=0.0)


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "forward_backward": lambda: ForwardBackwardObjective(
        ForwardBackward(SPEC, NETWORKS, dim=DIM), action_noise=0.0, measure_pessimism=0.25
    ),
    "td_jepa": lambda: TDJepaObjective(
        TDJepa(SPEC, NETWORKS, dim=DIM, state_dim=6), orthonormality=1.0, action_noise=0.0
    ),
    "laplacian": lambda: _universal(EncoderFeatures(SPEC, NETWORKS, dim=DIM), LaplacianObjective()),
    "contrastive": lambda: _universal(EncoderFeatures(SPEC, NETWORKS, dim=DIM), ContrastiveObjective()),
    # Goals of their own rows: which are other rows' is drawn.
    "hilp": lambda: _universal(HilpStateFeatures(SPEC, NETWORKS, dim=DIM), HilpObjective(random_goals=0.0)),
}


def objective(name: str, part: slice) -> Objective:
    """Without noise of its own: row i has the same z whoever looks at it."""
    torch.manual_seed(3)
    made = OBJECTIVES[name]()
    z = made.bfm.policy_latent(torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(2)))[part]
    made._sample_z = lambda goals: z
    return made


def found(made: Objective) -> dict[str, torch.Tensor]:
    """Gradients, and whatever is taken from data without one."""
    gradients = {name: each.grad.clone() for name, each in made.named_parameters() if each.grad is not None}
    return gradients | {f"buffer {name}": each.clone() for name, each in made.named_buffers()}


def train(name: str, local: int, folder: Path) -> Objective:
    """One update, at a rate that moves no weight."""
    part = slice(local * ROWS // 2, (local + 1) * ROWS // 2)
    made = objective(name, part)
    batches = SimpleNamespace(chunk=lambda first, count: torch.stack([transitions(ROWS)[part]] * count))
    module = Pretraining(made, 1, OptimizerOptions(1e-12), folder, batches)
    trainer = lightning.Trainer(
        **cluster_arguments(torch.device("cpu"), devices=2, nodes=1), max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, UpdateGroups(1, 1, [], lambda: 0))
    return made


def main(local: int, port: int, file: Path) -> None:
    torch.set_num_threads(1)
    # As whoever starts the processes says it.
    os.environ.update(LOCAL_RANK=str(local), MASTER_PORT=str(port))
    torch.save({name: found(train(name, local, file.parent)) for name in OBJECTIVES}, file)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
