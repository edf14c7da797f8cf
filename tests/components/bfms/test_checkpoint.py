from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tensordict import TensorDict

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.interfaces import BFM, EnvironmentSpec
from bfmkit.models.folder import save_model
from bfmkit.testing.bfm import BFMContract

SPEC = EnvironmentSpec("walker", 5, 2, 4, 100, 0.02, ("a",))
NODE = {
    "type": "forward_backward",
    "dim": 6,
    "networks": {"type": "two_stream", "width": 16, "encoder_width": 16, "num_critics": 2},
}


def saved(folder: Path) -> ForwardBackward:
    torch.manual_seed(0)
    bfm = ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=6)
    bfm.fit_second_moment(torch.randn(200, 5))
    inference_set = TensorDict(
        {
            "observation": torch.randn(20, 5),
            "action": torch.rand(20, 2),
            "next": {"observation": torch.randn(20, 5), "physics": torch.randn(20, 4).double()},
        },
        [20],
    )
    save_model(folder, bfm, NODE, inference_set, "# A card\n")
    return bfm


class TestCheckpoint(BFMContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "model"
        self.original = saved(self.folder)

    def make(self) -> BFM:
        return checkpoint(str(self.folder))

    def test_is_the_model_that_was_saved(self) -> None:
        loaded = self.make()
        observation, action, following, z = self.inputs(loaded, 7)
        with torch.no_grad():
            assert torch.equal(loaded.act(observation, z), self.original.act(observation, z))
            for name in ("features", "successor_features"):
                arguments = (observation, action, following) if name == "features" else (observation, z)
                assert torch.equal(getattr(loaded, name)(*arguments), getattr(self.original, name)(*arguments))
        assert loaded.inference_set()["next", "physics"].dtype == torch.float64

    @pytest.mark.parametrize("name", ["model.safetensors", "recipe.yaml", "inference_set.safetensors"])
    def test_a_missing_file_is_named(self, name: str) -> None:
        (self.folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
            self.make()

    @pytest.mark.parametrize("name", ["model.safetensors", "inference_set.safetensors"])
    def test_a_truncated_file_is_refused(self, name: str) -> None:
        file = self.folder / name
        file.write_bytes(file.read_bytes()[:-50])
        with pytest.raises(ValueError, match="model"):
            self.make()

    def test_weights_that_do_not_fit_the_recipe_are_refused(self) -> None:
        recipe = self.folder / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace("width: 16", "width: 18"))
        with pytest.raises(ValueError, match="model"):
            self.make()

    def test_a_folder_that_is_not_there_is_named(self) -> None:
        shutil.rmtree(self.folder)
        with pytest.raises(FileNotFoundError, match="model"):
            self.make()

    def test_the_zoo_says_what_it_has(self) -> None:
        with pytest.raises(FileNotFoundError, match="the zoo has no model 'walkr-fb'"):
            checkpoint("zoo:walkr-fb")

    def test_reading_a_model_runs_no_code(self, tmp_path: Path) -> None:
        recipe = self.folder / "recipe.yaml"
        marker = tmp_path / "ran"
        recipe.write_text(f"bfm: !!python/object/apply:os.system ['touch {marker}']\n")
        with pytest.raises(ValueError):
            self.make()
        assert not marker.exists()


def test_it_is_had_by_name_and_called_without_a_tensordict() -> None:
    bfm = BFM.from_pretrained("zoo:walker-fb")
    observation = bfm.inference_set()["observation"][:3]
    z = bfm.policy_latent(torch.eye(bfm.dim)[:3])
    assert torch.equal(bfm(observation=observation, z=z), bfm.act(observation, z))
    with pytest.raises(KeyError, match=r"acts for a task, \"z\" of shape \(\*, 32\), and there is none"):
        bfm(TensorDict({"observation": observation}, [3]))
    with pytest.raises(ValueError, match=r"zoo:walker-hilp is a UniversalSF, not a ForwardBackward"):
        ForwardBackward.from_pretrained("zoo:walker-hilp")
