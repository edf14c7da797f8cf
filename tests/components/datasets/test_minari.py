from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.datasets.minari import MinariDataset
from bfmkit.data.conversion import DataError
from bfmkit.environments.adapted import adapted_spec
from bfmkit.interfaces import Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.recipe import defer
from bfmkit.testing.dataset import DatasetContract

pytest.importorskip("minari", reason="an extra: pip install 'bfmkit[minari]'")
pytest.importorskip("h5py", reason="minari's files are read by h5py")

STEPS = (6, 4, 5)


def create(name: str, bad: int | None = None, worst: float = np.nan, seed: int = 0) -> None:
    """A dataset of three episodes, one of which may hold what is no number."""
    with warnings.catch_warnings():
        # Minari would like to know more about an environment that does not exist.
        warnings.simplefilter("ignore")
        _create(name, bad, worst, seed)


def _create(name: str, bad: int | None, worst: float, seed: int) -> None:
    """Three episodes of a body with two joints, whose actions lie in [-2, 2] and [0, 1]."""
    import gymnasium
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    generator = np.random.default_rng(seed)
    buffers = []
    for index, steps in enumerate(STEPS):
        place, speed = generator.normal(size=(steps + 1, 2)), generator.normal(size=(steps + 1, 1))
        if index == bad:
            place[2, 0] = worst
        action = np.stack([generator.uniform(-2, 2, steps), generator.uniform(0, 1, steps)], axis=1)
        ends = np.arange(steps) == steps - 1
        buffers.append(
            EpisodeBuffer(
                id=index,
                observations={"speed": speed, "place": place},
                actions=action.astype(np.float32),
                rewards=np.arange(steps) / 10,
                terminations=ends & (index == 1),
                truncations=ends & (index != 1),
            )
        )
    box = gymnasium.spaces.Box
    minari.create_dataset_from_buffers(
        name,
        buffers,
        observation_space=gymnasium.spaces.Dict(
            {"place": box(-np.inf, np.inf, (2,), np.float64), "speed": box(-np.inf, np.inf, (1,), np.float64)}
        ),
        action_space=box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32)),
        description="joints",
        author="nobody",
        author_email="nobody@example.com",
        code_permalink="none",
        algorithm_name="noise",
        data_format="hdf5",
    )


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    create("joints/noise-v0")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestMinariDataset(DatasetContract):
    def make(self) -> MinariDataset:
        return MinariDataset("joints/noise-v0")

    def test_what_is_read_is_what_was_stored(self) -> None:
        import minari

        dataset = self.make()
        assert len(dataset) == 15
        assert dataset.spec.domain == "joints/noise-v0"
        stored = minari.load_dataset("joints/noise-v0")[1]
        rows = dataset.read(torch.arange(6, 10))
        observation = np.concatenate([stored.observations["place"], stored.observations["speed"]], axis=1)
        np.testing.assert_allclose(rows["observation"], observation[:-1], rtol=1e-6)
        np.testing.assert_allclose(rows["next", "observation"], observation[1:], rtol=1e-6)
        np.testing.assert_allclose(rows["action"], stored.actions / [2, 0.5] - [0, 1], rtol=0, atol=1e-6)
        assert rows["next", "terminated"].tolist() == [False, False, False, True]
        assert not rows["next", "truncated"].any()
        np.testing.assert_allclose(rows["next", "physics"][:, :3], observation[1:])
        np.testing.assert_allclose(rows["next", "physics"][:, 3], [0, 0.1, 0.2, 0.3])
        assert dataset.read(torch.arange(6))["next", "truncated"].nonzero().tolist() == [[5]]

    def test_an_episode_that_is_not_finite_is_named_or_skipped(self) -> None:
        create("joints/bad-v0", bad=2)
        with pytest.raises(DataError, match="bad-v0 episode 2: observations are not finite in row 2"):
            len(MinariDataset("joints/bad-v0"))
        assert len(MinariDataset("joints/bad-v0", domain="joints", skip_corrupt=True)) == 10

    def test_an_observation_that_float32_does_not_hold_is_named(self) -> None:
        create("joints/large-v0", bad=1, worst=1e300)
        with pytest.raises(DataError, match="episode 1: observations are too large for float32 in row 2"):
            len(MinariDataset("joints/large-v0"))

    def test_what_was_skipped_is_said_and_recorded(self, capsys: pytest.CaptureFixture[str]) -> None:
        create("joints/bad-v0", bad=2)
        for _ in range(2):
            dataset = MinariDataset("joints/bad-v0", skip_corrupt=True)
            assert len(dataset) == 10
            assert "1 of 3 episodes skipped (joints/bad-v0 episode 2)" in capsys.readouterr().err
        checksum = dataset.source["checksum"]
        expected = {"path": "joints/bad-v0", "checksum": checksum, "episodes": 3, "skipped": 1}
        assert dataset.provenance() == [expected]

    def test_a_dataset_made_anew_under_the_same_name_is_converted_again(self, tmp_path: Path) -> None:
        import minari

        before = MinariDataset("joints/noise-v0", cache=tmp_path / "map").read(torch.arange(15))
        minari.delete_dataset("joints/noise-v0")
        create("joints/noise-v0", seed=1)
        after = MinariDataset("joints/noise-v0", cache=tmp_path / "map").read(torch.arange(15))
        assert (after["observation"] != before["observation"]).all()

    def test_a_dataset_that_is_not_there_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"no dataset joints/none-v0.*download"):
            MinariDataset("joints/none-v0")

    def test_a_model_is_trained_on_it_whose_tasks_can_be_labelled(self, tmp_path: Path) -> None:
        objective = {
            "type": "forward_backward",
            "bfm": {"type": "forward_backward", "dim": 2, "networks": {"type": "two_stream", "width": 4}},
        }
        (tmp_path / "run").mkdir()
        job = PretrainJob(self.make(), defer(Objective, objective), updates=2, batch_size=4)
        assert job.run(tmp_path / "run", torch.device("cpu"))["transitions"] == 15
        model = checkpoint(str(tmp_path / "run" / "model"))
        # As an environment of TorchRL of this name would have it.
        assert model.environment_spec == adapted_spec("joints/noise-v0", ["place_0", "place_1", "speed"], 2, 6)
        rewards = model.inference_set()["next", "physics"][:, 3]
        assert rewards.sum() == pytest.approx(sum(sum(range(steps)) / 10 for steps in STEPS))


def test_data_and_environment_lay_out_a_dictionary_alike() -> None:
    """Entries that an environment has in another order than the alphabet's, nested, whole numbers and choices."""
    import gymnasium
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    from bfmkit.environments.adapted import AdaptedEnvironment

    spaces = gymnasium.spaces

    class Named(gymnasium.Env):
        def __init__(self) -> None:
            entries = [
                ("velocity", spaces.Box(-9, 9, (2,), np.float64)), ("count", spaces.Box(0, 9, (1,), np.int64)),
                ("arm", spaces.Dict(way=spaces.Discrete(2), angle=spaces.Box(-9, 9, (), np.float64))),
            ]  # fmt: skip
            self.observation_space = spaces.Dict(OrderedDict(entries))
            self.action_space = spaces.MultiDiscrete([2, 3])

        def look(self) -> dict:
            arm = {"way": 1, "angle": np.float64(self.steps)}
            return {"velocity": np.array([self.steps, 5.0]), "count": np.array([7]), "arm": arm}

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
            super().reset(seed=seed)
            self.steps = 0
            return self.look(), {}

        def step(self, action: np.ndarray) -> tuple:
            self.steps += 1
            return self.look(), float(action[1]), False, self.steps == 3, {}

    body, states = Named(), []
    states.append(body.reset()[0])
    states += [body.step([0, choice])[0] for choice in range(3)]
    arm = {name: np.stack([state["arm"][name] for state in states]) for name in ("way", "angle")}
    columns = {name: np.stack([state[name] for state in states]) for name in ("velocity", "count")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            "named/odd-v0",
            [
                EpisodeBuffer(
                    id=0, observations={**columns, "arm": arm}, actions=np.array([[0, 0], [0, 1], [0, 2]]),
                    rewards=np.arange(3.0), terminations=np.zeros(3, bool), truncations=np.arange(3) == 2,
                )
            ],
            observation_space=body.observation_space, action_space=body.action_space, algorithm_name="a", author="a",
            author_email="a@b.c", code_permalink="x", description="x",
        )  # fmt: skip
    data = MinariDataset("named/odd-v0", domain="named")
    environment = AdaptedEnvironment(Named, "named")
    environment.spec.require_compatible(data.spec, "the dataset")
    assert data.spec.observation_names == ("arm_angle", "arm_way_0", "arm_way_1", "count", "velocity_0", "velocity_1")
    rows = data.read(torch.arange(3))
    observation, _ = environment.reset_batch()
    for row in rows:
        assert torch.equal(observation[0], row["observation"])
        outcome = environment.step_batch(row["action"].unsqueeze(0))
        assert torch.equal(outcome.physics[0], row["next", "physics"]), "the same choice gives the same reward"
        observation = outcome.observation
    swapped = AdaptedEnvironment(Named, "named", observation_keys=["velocity", "count", "arm"])
    with pytest.raises(ValueError, match="entry 0 is arm_angle; this environment's is velocity_0"):
        swapped.spec.require_compatible(data.spec, "the dataset")
