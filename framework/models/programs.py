"""Export of policy and features as ``torch.export`` programs and ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from bfmkit.interfaces import BFM

Part = Literal["policy", "features"]


class _Policy(nn.Module):
    def __init__(self, bfm: BFM) -> None:
        super().__init__()
        self.bfm = bfm

    def forward(self, observation: Tensor, z: Tensor) -> Tensor:  # (n, o), (n, d) -> (n, a)
        return self.bfm.act(observation, z)


class _Features(nn.Module):
    def __init__(self, bfm: BFM) -> None:
        super().__init__()
        self.bfm = bfm

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # -> (n, d)
        return self.bfm.features(observation, action, next_observation)


def program(bfm: BFM, part: Part = "policy") -> torch.export.ExportedProgram:
    """Exported program (``torch.export``) of π_z or φ, for batches of any size.

    Args:
        bfm: of float32, on the CPU.
        part: ``policy``, a function of observation (n, o) and z (n, d); or ``features``, of observation, action and
            next observation.

    Raises:
        ValueError: if there is no such part.

    Example:
        ``torch.export.save(program(BFM.from_pretrained("zoo:walker-fb")), "policy.pt2")``
    """
    module, inputs = _parts(bfm, part)
    rows = torch.export.Dim("n", min=1)
    shapes = tuple({0: rows} for _ in inputs)
    with torch.no_grad():
        return torch.export.export(module, inputs, dynamic_shapes=shapes)


def save_onnx(bfm: BFM, file: Path | str, part: Part = "policy") -> None:
    """Write π_z or φ as an ONNX file, for batches of any size; it takes the extra ``onnx``.

    Inputs and outputs are called ``observation``, ``z`` and ``action``, or ``observation``, ``action``,
    ``next_observation`` and ``features``.

    Raises:
        ValueError: if there is no such part, or the extra is missing.
    """
    try:
        import onnxscript  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        raise ValueError("writing ONNX needs the extra: pip install 'bfmkit[onnx]'") from error
    inputs, output = (["observation", "z"], "action")
    if part == "features":
        inputs, output = ["observation", "action", "next_observation"], "features"
    exported = torch.onnx.export(program(bfm, part), input_names=inputs, output_names=[output], dynamo=True)
    cast(torch.onnx.ONNXProgram, exported).save(str(file))


def _parts(bfm: BFM, part: Part) -> tuple[nn.Module, tuple[Tensor, ...]]:
    spec = bfm.environment_spec
    # Two rows: a batch of one would be taken for a constant.
    observation, action = torch.zeros(2, spec.observation_size), torch.zeros(2, spec.action_size)
    if part == "policy":
        return _Policy(bfm).eval(), (observation, torch.ones(2, bfm.dim))
    if part == "features":
        return _Features(bfm).eval(), (observation, action, observation.clone())
    raise ValueError(f'a model has the parts policy and features, not "{part}"')
