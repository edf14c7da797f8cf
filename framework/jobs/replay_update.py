"""Job ``replay_update``: an update whose loss was not finite, computed again."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, cast

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from bfmkit.interfaces import EnvironmentSpec, Job, Objective
from bfmkit.recipe import defer
from bfmkit.registry import register
from bfmkit.training.failed_update import FailedUpdate
from bfmkit.training.precision import Precision, in_precision
from bfmkit.training.rng_state import set_generator_states
from bfmkit.utils.files import write_atomically

MOST_ROWS_NAMED = 20


@register(Job, "replay_update")
class ReplayUpdateJob(Job):
    """Losses of a saved update from the same batch, weights and noise, with every module watched.

    The summary says which entries of the batch and which weights are not finite, which module gives the first output
    that is not, each loss, and whether the failure came back.

    Args:
        file: ``failed_update_NUMBER.pt`` of a pretraining that stopped.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else.

    Example:
        ``bfmkit run replay_update file=runs/pretrain/failed_update.pt``
    """

    logs = False

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {file}")
        self.failed = FailedUpdate.load(file)

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Compute the update up to its losses, and their gradients if the losses are finite."""
        failed = self.failed
        spec = EnvironmentSpec.from_dict(failed.spec)
        objective = defer(Objective, failed.objective).build(spec).to(device)
        objective.load_state_dict(failed.weights)
        objective.start_update(failed.number)
        outputs = _watch(objective)
        set_generator_states(failed.generators, device)
        with in_precision(cast(Precision, failed.precision), device):
            losses = objective(failed.batch.to(device))
        numbers = {name: value.item() for name, value in losses.items()}
        bad = [name for name, value in numbers.items() if not math.isfinite(value)]
        summary = {
            "update": failed.number,
            "came_back": any(name.startswith("loss_") for name in bad),
            "losses": {name: str(value) for name, value in numbers.items()},
            "rows_of_the_batch": _bad_rows(failed.batch),
            "weights": [name for name, value in failed.weights.items() if not _finite(value)],
            "first_module": outputs[0] if outputs else None,
            "gradients": [] if bad else _bad_gradients(objective, losses),
        }
        text = "".join(f"{line}\n" for line in _report(summary))
        write_atomically(out / "report.txt", text)
        sys.stderr.write(text)
        return summary


def _finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _watch(objective: Objective) -> list[str]:
    """Names of modules whose outputs are not finite, filled in as they are computed."""
    found: list[str] = []

    def watch(name: str) -> Any:
        def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not _finite(output):
                found.append(name)

        return look

    for name, module in objective.named_modules():
        module.register_forward_hook(watch(name))
    return found


def _bad_rows(batch: TensorDictBase) -> dict[str, list[int]]:
    found = {}
    for key, value in batch.flatten_keys(".").items():
        rows = (~torch.isfinite(value.flatten(1) if value.ndim > 1 else value.unsqueeze(1))).any(1).nonzero()
        if len(rows):
            found[str(key)] = rows.squeeze(-1).tolist()
    return found


def _bad_gradients(objective: Objective, losses: TensorDictBase) -> list[str]:
    total = cast(Tensor, sum(value for name, value in losses.items() if name.startswith("loss_")))
    total.backward()
    named = objective.named_parameters()
    return [name for name, parameter in named if parameter.grad is not None and not _finite(parameter.grad)]


def _report(summary: dict[str, Any]) -> list[str]:
    lines = [f"update {summary['update']}: {'not finite again' if summary['came_back'] else 'finite this time'}"]
    lines += [f"  {name} = {value}" for name, value in summary["losses"].items()]
    for key, rows in summary["rows_of_the_batch"].items():
        more = ", ..." if len(rows) > MOST_ROWS_NAMED else ""
        lines.append(f"  the batch's {key} is not finite in rows {', '.join(map(str, rows[:MOST_ROWS_NAMED]))}{more}")
    if summary["weights"]:
        lines.append(f"  weights that were not finite before: {', '.join(summary['weights'])}")
    if summary["first_module"] is not None:
        lines.append(f"  the first output that is not finite: {summary['first_module']}")
    if summary["gradients"]:
        lines.append(f"  gradients that are not finite: {', '.join(summary['gradients'])}")
    return lines
