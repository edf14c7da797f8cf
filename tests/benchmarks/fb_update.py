"""Updates a second of forward-backward training, beside the time of its matrix products alone, in one process.

    python tests/benchmarks/fb_update.py                                       two cores: width 1024, batch 1024, z 50
    python tests/benchmarks/fb_update.py --width 256 --batch 512
    python tests/benchmarks/fb_update.py --device cuda --precision tf32 --compile --capture --together 50 --updates 5000
    python tests/benchmarks/fb_update.py --device cuda --precision bf16 --compile --capture --together 50 --updates 5000

The updates are those of the job: batches drawn from the pool, Lightning's trainer, Adam, target networks. The products
are every matrix product of one update with its shapes and strides, as torch hands them to the library, made one after
another on memory of their own, in turns with the updates. Wanted: on two cores at most 1.3 times the products; on an
H100 1,500 updates/s. On a GPU the share of time in which a kernel runs is given too. Transitions are noise: neither
time depends on them. What precision does to a trained model is the matter of precision.py.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import lightning
import torch
from tensordict import TensorDict
from torch.utils._python_dispatch import TorchDispatchMode

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
from bfmkit.data.sampling import TransitionBatches, UpdateGroups
from bfmkit.data.shards import empty_transitions
from bfmkit.data.transition_pool import TransitionPool
from bfmkit.interfaces import Dataset, EnvironmentSpec
from bfmkit.training.allocator import keep_freed_memory
from bfmkit.training.lightning_module import Pretraining
from bfmkit.training.precision import float32_products, in_precision
from bfmkit.training.pretraining_options import HardwareOptions, OptimizerOptions
from bfmkit.utils.threads import physical_cores, pin_threads

WALKER = EnvironmentSpec("walker", 24, 6, 18, 1000, 0.025, ("stand", "walk", "run", "flip"))
PROFILED = 200
PRODUCTS = {"mm": (0, 1), "bmm": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2)}

Factor = tuple[torch.Size, tuple[int, ...], torch.dtype]


class Noise(Dataset):
    """Transitions that mean nothing."""

    spec = WALKER

    def __init__(self, rows: int) -> None:
        self._rows = empty_transitions(WALKER, rows)
        for key in ("observation", "action", ("next", "observation")):
            self._rows[key].uniform_(-1, 1)

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, indices: torch.Tensor) -> TensorDict:
        return self._rows[indices]

    def to_device(self, device: torch.device | str, keys: list) -> TensorDict:
        return self._rows.select(*keys).to(device)


class Products(TorchDispatchMode):
    """Notes the factors of every matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[Factor, Factor]] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        places = PRODUCTS.get(function.overloadpacket.__name__)
        if places is not None:
            left, right = (args[place] for place in places)
            self.found[_factor(left), _factor(right)] += 1
        return function(*args, **(kwargs or {}))


def _factor(tensor: torch.Tensor) -> Factor:
    return tensor.shape, tensor.stride(), tensor.dtype


def products_of(objective: ForwardBackwardObjective, batch: TensorDict, precision: str) -> Counter:
    """The products of losses and gradients."""
    with Products() as products:
        with in_precision(precision, batch.device):
            losses = objective(batch)
        sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
    objective.zero_grad()
    return products.found


def alone(products: Counter, device: torch.device) -> Callable[[], None]:
    """Makes all of them."""

    def factor(shape: torch.Size, stride: tuple[int, ...], kind: torch.dtype) -> torch.Tensor:
        # A factor that was expanded has no memory of its own to be filled.
        like = torch.empty_strided(shape, stride, dtype=kind, device=device) if all(stride) else None
        return (torch.empty(shape, dtype=kind, device=device) if like is None else like).normal_()

    work = []
    for (left, right), count in products.items():
        a, b = factor(*left), factor(*right)
        work += [(a, b, torch.matmul(a, b))] * count

    def make() -> None:
        for a, b, out in work:
            torch.matmul(a, b, out=out)

    return make


class Clock(lightning.Callback):
    """When each group of updates was over; makes the products in between, out of its time.

    On a GPU it looks at a few more updates at the end: ``share`` is that of time in which a kernel runs.
    """

    def __init__(self, products: Callable[[], None], device: torch.device, turns: int) -> None:
        self._products, self._device, self._turns = products, device, turns
        self.seconds: list[float] = []
        self.updates: list[int] = []
        self.product_seconds: list[float] = []
        self.share: float | None = None

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_start(self, *_: Any) -> None:
        self._start, self._before = self._now(), 0

    def on_train_end(self, trainer: Any, module: Any) -> None:
        # Here, for right after this Lightning moves model and optimiser to the processor.
        if self._device.type == "cuda":
            self.share = share_in_kernels(module, max(self.updates))

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        now, number = self._now(), int(module.update)
        self.seconds.append(now - self._start)
        self.updates.append(number - self._before)
        if len(self.seconds) % self._turns == 0:
            begun = self._now()
            self._products()
            self.product_seconds.append(self._now() - begun)
        self._start, self._before = self._now(), number


def share_in_kernels(module: Pretraining, together: int) -> float:
    """Of the time that further updates take."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        begun = time.perf_counter()
        for first in range(0, PROFILED, together):
            module.training_step((first, together), 0)
        torch.cuda.synchronize()
        wall = time.perf_counter() - begun
    return sum(event.self_device_time_total for event in profile.key_averages()) / 1e6 / wall


def fit(module: Pretraining, updates: int, together: int, device: torch.device, callbacks: list) -> None:
    """All updates, with Lightning's trainer."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    on_gpu = device.type == "cuda"
    trainer = lightning.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=[device.index or 0] if on_gpu else 1,
        max_epochs=1,
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    groups = UpdateGroups(updates, together, [], lambda: int(module.update))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, groups)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--dim", type=int, default=50)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--together", type=int, default=1, help="updates a step of the trainer")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=physical_cores(), help="one a physical core")
    parser.add_argument("--precision", choices=["float32", "tf32", "bf16"], default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--capture", action="store_true")
    parser.add_argument("--list", action="store_true", help="print every product")
    arguments = parser.parse_args()
    threads, device = arguments.threads, torch.device(arguments.device)
    pin_threads(threads)
    keep_freed_memory()
    with float32_products(arguments.precision), tempfile.TemporaryDirectory() as folder:
        measure(arguments, device, Path(folder), threads)


def measure(arguments: argparse.Namespace, device: torch.device, folder: Path, threads: int) -> None:
    torch.manual_seed(0)
    bfm = ForwardBackward(WALKER, TwoStreamNetworks(width=arguments.width), dim=arguments.dim)
    objective = ForwardBackwardObjective(bfm).to(device)
    pool = TransitionPool(Noise(100_000), device)
    batches = TransitionBatches(pool, arguments.batch, 0)
    products = products_of(objective, batches.whole(0), arguments.precision)
    flops = sum(2 * count * left[0].numel() * right[0][-1] for (left, right), count in products.items())
    module = Pretraining(
        objective, arguments.updates, OptimizerOptions(), folder, batches,
        hardware=HardwareOptions(
            precision=arguments.precision, compile=arguments.compile,
            cuda_graph=arguments.capture and device.type == "cuda",
        ),
    )  # fmt: skip
    clock = Clock(alone(products, device), device, turns=1 if device.type == "cpu" else 5)
    fit(module, arguments.updates, arguments.together, device, [clock])
    settled = slice(len(clock.seconds) // 3, None)
    update = median(each / count for each, count in zip(clock.seconds[settled], clock.updates[settled], strict=True))
    made = median(clock.product_seconds[len(clock.product_seconds) // 3 :])
    if arguments.list:
        for (left, right), count in sorted(products.items(), key=lambda item: -item[0][0][0].numel()):
            print(f"{count:>4} x {tuple(left[0])} @ {tuple(right[0])}")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} threads"
    print(f"width {arguments.width}, batch {arguments.batch}, z {arguments.dim}, {arguments.precision}, {where}")
    print(f"{sum(products.values())} products, {flops / 1e9:.1f} GFLOP: {1000 * made:.2f} ms")
    print(f"update: {1000 * update:.2f} ms, {1 / update:.1f} updates/s, {update / made:.2f} times the products")
    if clock.share is not None:
        print(f"share of time in kernels: {clock.share:.2f}")


if __name__ == "__main__":
    main()
