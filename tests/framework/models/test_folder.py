from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch.overrides import TorchFunctionMode

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.models.folder import copy_model, load_model, save_model

SPEC = EnvironmentSpec("walker", 5, 2, 4, 100, 0.02, ("a",))
NODE = {"type": "forward_backward", "dim": 6, "networks": {"type": "two_stream", "width": 64, "encoder_width": 64}}


@pytest.fixture
def bfm() -> ForwardBackward:
    torch.manual_seed(0)
    bfm = ForwardBackward(SPEC, TwoStreamNetworks(64, 64, 2), dim=6)
    bfm.fit_second_moment(torch.randn(200, 5))
    return bfm.requires_grad_(False)


def transitions(count: int = 30) -> TensorDict:
    torch.manual_seed(1)
    following = {"observation": torch.randn(count, 5), "physics": torch.randn(count, 4).double()}
    content = {"observation": torch.randn(count, 5), "action": torch.rand(count, 2), "next": following}
    return TensorDict(content, [count])


def test_files_are_whole_and_readable_as_any_others(
    tmp_path: Path, bfm: ForwardBackward, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    try:
        save_model(tmp_path, bfm, NODE, transitions(), "")
    finally:
        os.umask(before)
    files = {"model.safetensors", "inference_set.safetensors", "recipe.yaml", "README.md"}
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(files, 0o640)

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with torch.no_grad():
        next(bfm.actor_network.parameters()).zero_()
    with pytest.raises(OSError, match="disk is full"):
        save_model(tmp_path, bfm, NODE, transitions(), "")
    assert {path.name for path in tmp_path.iterdir()} == files
    assert next(load_model(tmp_path).actor_network.parameters()).any()


class Factorisations(TorchFunctionMode):
    found = 0

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self.found += function is torch.linalg.qr
        return function(*args, **(kwargs or {}))


def test_weights_that_are_read_are_not_drawn_orthogonal_before(tmp_path: Path, bfm: ForwardBackward) -> None:
    save_model(tmp_path, bfm, NODE, transitions(), "")
    with Factorisations() as factorisations:
        loaded = load_model(tmp_path)
        assert factorisations.found == 0
        TwoStreamNetworks(64, 64, 2).actor(5, 2, 6)
    assert factorisations.found > 0
    for name, weight in bfm.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


@pytest.mark.parametrize(("weights", "tolerance"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_half_precision_halves_the_file_and_hardly_moves_an_action(
    tmp_path: Path, bfm: ForwardBackward, weights: str, tolerance: float
) -> None:
    save_model(tmp_path / "whole", bfm, NODE, transitions(), "")
    save_model(tmp_path / "half", bfm, NODE, transitions(), "", weights)
    whole, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.55 * whole
    loaded = load_model(tmp_path / "half")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert loaded.state_dict()["second_moment"].dtype == torch.float64
    assert torch.equal(loaded.state_dict()["second_moment"], bfm.second_moment)
    observation, z = torch.randn(500, 5), loaded.policy_latent(torch.randn(500, 6))
    difference = (loaded.act(observation, z) - bfm.act(observation, z)).abs().max()
    assert 0 < float(difference) < tolerance


def test_a_weight_too_large_for_half_precision_is_refused(tmp_path: Path, bfm: ForwardBackward) -> None:
    with torch.no_grad():
        next(bfm.actor_network.parameters())[0] = 1e6
    with pytest.raises(ValueError, match=r"actor_network.* too large for float16"):
        save_model(tmp_path / "model", bfm, NODE, transitions(), "", "float16")
    assert not (tmp_path / "model").exists()
    save_model(tmp_path / "model", bfm, NODE, transitions(), "", "bfloat16")
    with pytest.raises(ValueError, match="weights must be one of"):
        save_model(tmp_path / "other", bfm, NODE, transitions(), "", "int8")


def test_a_copy_says_how_far_actions_move(tmp_path: Path, bfm: ForwardBackward) -> None:
    save_model(tmp_path / "model", bfm, NODE, transitions(), "# A card\n")
    assert copy_model(tmp_path / "model", tmp_path / "same", "float32") == 0
    assert 0 < copy_model(tmp_path / "model", tmp_path / "half", "float16") < 2e-3
    assert (tmp_path / "half" / "README.md").read_text() == "# A card\n"
    for taken in (tmp_path / "half", tmp_path / "half" / "README.md"):
        with pytest.raises(FileExistsError, match="something here"):
            copy_model(tmp_path / "model", taken, "float16")


def test_what_half_precision_changes_in_the_shipped_walker(tmp_path: Path) -> None:
    from bfmkit.models.zoo import resolve

    assert copy_model(resolve("zoo:walker-fb"), tmp_path / "half", "float16") < 0.03
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 2e6


def test_a_pickle_in_the_folder_is_refused(tmp_path: Path, bfm: ForwardBackward) -> None:
    save_model(tmp_path / "model", bfm, NODE, transitions(), "")
    torch.save({}, tmp_path / "model" / "extra.bin")
    with pytest.raises(ValueError, match=r"extra\.bin may be a pickle"):
        checkpoint(str(tmp_path / "model"))
