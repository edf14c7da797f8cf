"""What the precision of products does to a trained model, beside what chance does to it.

    python tests/benchmarks/precision.py
    python tests/benchmarks/precision.py --device cuda --width 1024 --batch 1024 --updates 20000

Trains a forward-backward model on the transitions that come with the shipped walker: in float32, in tf32 where there is
a GPU, and in bf16, from the same weights, on the same batches with the same noise. For comparison in float32 with other
batches and noise, and from other weights as well. Then all are asked the same in float32:

    losses     means over the same batches with the same noise
    features   φ(s)ᵀφ(s')
    psi        mean_e ψ_e(s, π_z(s), z)ᵀφ(s')
    actions    π_z(s),   z = policy_latent(φ(g))

for the same states s, s' and g. A difference is the root of the mean square of x − x₀ divided by the standard deviation
of x₀, with x₀ from the first training. Features and ψ are compared by products with features, for what a model does is
the same when all of its vectors are turned together, and every training turns them in its own way.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from fb_update import Noise, fit
from torch import Tensor

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
from bfmkit.data.sampling import TransitionBatches
from bfmkit.data.shards import empty_transitions
from bfmkit.data.transition_pool import TransitionPool
from bfmkit.training.allocator import keep_freed_memory
from bfmkit.training.lightning_module import Pretraining
from bfmkit.training.precision import Precision, float32_products
from bfmkit.training.pretraining_options import HardwareOptions, OptimizerOptions
from bfmkit.utils.threads import physical_cores, pin_threads

STATES, GOALS, BATCHES = 400, 20, 20
LOSSES = ("loss_measure", "loss_orthonormality", "loss_actor")
ANSWERS = ("features", "psi", "actions")


class Shipped(Noise):
    """The transitions that come with a model."""

    def __init__(self, model: str) -> None:
        found = checkpoint(model).inference_set()
        self._rows = empty_transitions(self.spec, len(found))
        self._rows.update_(found)


def trained(
    arguments: argparse.Namespace, pool: TransitionPool, precision: Precision, weights_seed: int, draws_seed: int
) -> ForwardBackwardObjective:
    """The objective with its model, after all updates."""
    device = torch.device(arguments.device)
    torch.manual_seed(weights_seed)
    objective = ForwardBackwardObjective(
        ForwardBackward(Shipped.spec, TwoStreamNetworks(width=arguments.width), dim=arguments.dim)
    )
    objective.prepare(pool.batch(torch.arange(len(pool)))["observation"].cpu())
    batches = TransitionBatches(pool, arguments.batch, draws_seed)
    torch.manual_seed(1000 + draws_seed)
    with float32_products(precision), tempfile.TemporaryDirectory() as folder:
        module = Pretraining(
            objective.to(device),
            arguments.updates,
            OptimizerOptions(),
            Path(folder),
            batches,
            hardware=HardwareOptions(precision=precision),
        )
        fit(module, arguments.updates, 50, device, [])
    return objective.to(device)


@torch.no_grad()
def asked(
    objective: ForwardBackwardObjective, pool: TransitionPool, batch_size: int
) -> tuple[list[float], list[Tensor]]:
    """The losses, and the answers."""
    torch.manual_seed(2000)
    batches = TransitionBatches(pool, batch_size, 2000)
    losses = torch.stack([objective(batches.whole(number)) for number in range(BATCHES)]).mean(0)
    seen = pool.batch(torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))[: 2 * STATES + GOALS])
    model, observations = objective.bfm, seen["next", "observation"]
    features = model.features(seen["observation"], seen["action"], observations)
    states, others, goals = torch.arange(len(seen)).split([STATES, STATES, GOALS])
    z = model.policy_latent(features[goals]).unsqueeze(1)
    s = observations[states].expand(GOALS, -1, -1)
    z = z.expand(-1, STATES, -1)
    psi = model.successor_features(s, z).mean(-2)
    answers = [features[states] @ features[others].mT, psi @ features[others].mT, model.act(s, z)]
    return [losses[name].item() for name in LOSSES], answers


def trainings(device: str) -> Iterator[tuple[str, Precision, int, int]]:
    """Name, precision, seed of the weights and of batches and noise."""
    yield "float32", "float32", 0, 0
    if device.startswith("cuda"):
        yield "tf32", "tf32", 0, 0
    yield "bf16", "bf16", 0, 0
    yield "float32, other batches", "float32", 0, 1
    yield "float32, other weights", "float32", 1, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dim", type=int, default=50)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--model", default="zoo:walker-hilp", help="whose transitions to train on")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=physical_cores(), help="one a physical core")
    arguments = parser.parse_args()
    threads = arguments.threads
    pin_threads(threads)
    keep_freed_memory()
    where = torch.cuda.get_device_name(arguments.device) if arguments.device != "cpu" else f"{threads} threads"
    print(f"width {arguments.width}, batch {arguments.batch}, z {arguments.dim}, {arguments.updates} updates, {where}")
    print(f"{'':<24}" + "".join(f"{name.removeprefix('loss_'):>16}" for name in (*LOSSES, *ANSWERS)))
    pool = TransitionPool(Shipped(arguments.model), torch.device(arguments.device))
    first: list[Tensor] = []
    for name, precision, *seeds in trainings(arguments.device):
        losses, answers = asked(trained(arguments, pool, precision, *seeds), pool, arguments.batch)
        first = first or answers
        differences = [float((x - x0).square().mean().sqrt() / x0.std()) for x, x0 in zip(answers, first, strict=True)]
        print(f"{name:<24}" + "".join(f"{number:>16.4f}" for number in (*losses, *differences)), flush=True)


if __name__ == "__main__":
    main()
