from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.interfaces import BFM
from bfmkit.models.programs import program, save_onnx


@pytest.fixture(scope="module")
def walker() -> BFM:
    return checkpoint("zoo:walker-fb")


def given(bfm: BFM, rows: int) -> dict[str, torch.Tensor]:
    """Inputs of both programs: transitions of the inference set, and z at random."""
    transitions = bfm.inference_set()[:rows]
    torch.manual_seed(0)
    return {
        "observation": transitions["observation"],
        "z": bfm.policy_latent(torch.randn(rows, bfm.dim)),
        "action": transitions["action"],
        "next_observation": transitions["next", "observation"],
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("part", ["policy", "features"])
def test_programs_give_the_models_numbers(walker: BFM, part: str, tmp_path: Path) -> None:
    torch.export.save(program(walker, part), tmp_path / "part.pt2")
    loaded = torch.export.load(tmp_path / "part.pt2").module()
    for rows in (1, 7):
        values = given(walker, rows)
        if part == "policy":
            expected, found = walker.act(values["observation"], values["z"]), loaded(values["observation"], values["z"])
        else:
            inputs = [values[name] for name in ("observation", "action", "next_observation")]
            expected, found = walker.features(*inputs), loaded(*inputs)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_onnx_gives_the_models_numbers(walker: BFM, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="an extra: pip install 'bfmkit[onnx]'")
    save_onnx(walker, tmp_path / "policy.onnx")
    session = runtime.InferenceSession(str(tmp_path / "policy.onnx"))
    for rows in (1, 7):
        values = given(walker, rows)
        (found,) = session.run(["action"], {name: values[name].numpy() for name in ("observation", "z")})
        torch.testing.assert_close(
            torch.from_numpy(found), walker.act(values["observation"], values["z"]), rtol=1e-4, atol=1e-4
        )


def test_a_part_that_there_is_not_is_refused(walker: BFM) -> None:
    with pytest.raises(ValueError, match='not "critic"'):
        program(walker, "critic")
