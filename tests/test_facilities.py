"""What other libraries' users do with ours, through those libraries' own entries; docs/facilities.md is made of it.

As a test it holds the page to what happens; ``python tests/test_facilities.py`` writes the page.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch.utils.data import DataLoader
from torchrl.data import LazyTensorStorage, ReplayBuffer, SliceSampler, TensorDictReplayBuffer
from torchrl.envs import (
    ActionScaling,
    CatTensors,
    Compose,
    DMControlEnv,
    DoubleToFloat,
    EnvBase,
    GymEnv,
    InitTracker,
    ObservationNorm,
    RenameTransform,
    RewardClipping,
    RewardScaling,
    RewardSum,
    SerialEnv,
    StepCounter,
    TransformedEnv,
)
from torchrl.envs.utils import check_env_specs
from torchrl.modules import AdditiveGaussianModule

from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.components.environments.gymnasium import GymnasiumEnvironment
from bfmkit.components.environments.torchrl import TorchRLEnvironment
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.inference.torchrl_transform import TaskInferenceTransform
from bfmkit.interfaces import BFM
from bfmkit.models.programs import program, save_onnx
from bfmkit.testing.models import BallEnvironment, LinearBFM, ball_spec

PAGE = Path(__file__).parents[1] / "docs" / "facilities.md"
TASKS = ["task_0", "task_1"]


class Facility(NamedTuple):
    """One thing that a user of a library does."""

    library: str
    name: str
    do: Callable[[], Any]


FACILITIES: list[Facility] = []


def facility(library: str, name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Put a function into the table; what it raises as ValueError is a refusal."""

    def put(do: Callable[[], Any]) -> Callable[[], Any]:
        FACILITIES.append(Facility(library, name, do))
        return do

    return put


def agent(seeds: int = 2) -> TaskInferenceAgent:
    made = TaskInferenceAgent(RidgePosterior(), ThompsonAcquisition())
    made.start(LinearBFM(), range(seeds))
    return made


def ball(lengths: tuple[int, ...] = (5, 3)) -> BallEnvironment:
    return BallEnvironment(tasks=TASKS, lengths=lengths)


def inferring(*transforms: Any) -> TransformedEnv:
    return TransformedEnv(ball(), Compose(TaskInferenceTransform(agent()), *transforms))


def rolled(environment: EnvBase, steps: int = 8) -> TensorDict:
    rollout = environment.rollout(steps, LinearBFM(), break_when_any_done=False)
    assert rollout.shape[-1] == steps
    assert rollout["z"].norm(dim=-1).min() > 0
    return rollout


@contextmanager
def stored() -> Iterator[MemoryMapDataset]:
    with tempfile.TemporaryDirectory() as folder:
        spec = ball_spec(4, 20)
        claim(Path(folder), spec)
        rows = empty_transitions(spec, 40)
        rows["next", "truncated"][19::20] = True
        noise = torch.Generator().manual_seed(0)
        for key in ("observation", "action", ("next", "observation")):
            rows[key].uniform_(-1, 1, generator=noise)
        ShardWriter(Path(folder), "shard-000", spec, 40).append(rows)
        yield MemoryMapDataset(Path(folder))


# TorchRL: environments and transforms.

facility("TorchRL", "`check_env_specs(environment)`")(lambda: check_env_specs(ball()))
facility("TorchRL", "`environment.rollout(...)` with a BFM as policy")(lambda: rolled(inferring()))
facility("TorchRL", "`environment.rollout(..., break_when_all_done=True)`")(
    lambda: inferring().rollout(9, LinearBFM(), break_when_any_done=False, break_when_all_done=True)
)
facility("TorchRL", "`environment.rand_step()`")(lambda: ball().rand_step(ball().reset()))
facility("TorchRL", "`environment.fake_tensordict()`")(lambda: ball().fake_tensordict())
facility("TorchRL", "`environment.set_seed(3)`")(lambda: ball().set_seed(3))
facility("TorchRL", "`StepCounter(3)`, rows restarting")(lambda: rolled(inferring(StepCounter(3))))
facility("TorchRL", "`RewardSum()`")(lambda: rolled(inferring(RewardSum())))
facility("TorchRL", "`RewardScaling(0, 2)`")(lambda: rolled(inferring(RewardScaling(0.0, 2.0))))
facility("TorchRL", "`RewardClipping(-1, 1)`")(lambda: rolled(inferring(RewardClipping(-1, 1))))
facility("TorchRL", "`InitTracker()`")(lambda: rolled(inferring(InitTracker())))
facility("TorchRL", "`ObservationNorm` of another entry")(
    lambda: rolled(inferring(ObservationNorm(0.0, 2.0, in_keys=["observation"], out_keys=["scaled"])))
)
facility("TorchRL", "`RenameTransform` before the agent's transform")(
    lambda: TransformedEnv(
        ball(), Compose(RenameTransform(["observation"], ["state"]), TaskInferenceTransform(agent()))
    )
)


@facility("TorchRL", "`SerialEnv(2, make)` with the agent's transform outside")
def _() -> None:
    rolled(TransformedEnv(SerialEnv(2, lambda: BallEnvironment(tasks=TASKS[:1])), TaskInferenceTransform(agent())))


@facility("TorchRL", "`bfmkit.make_env(SerialEnv(3, PendulumEnv))`")
def _() -> None:
    from torchrl.envs.custom import PendulumEnv

    import bfmkit

    assert len(bfmkit.make_env(SerialEnv(3, PendulumEnv)).rollout(3)) == 3


@facility("TorchRL", "`DMControlEnv`, its entries not joined")
def _() -> None:
    TransformedEnv(DMControlEnv("walker", "walk"), TaskInferenceTransform(agent()))


@facility("TorchRL", "`DMControlEnv` with `CatTensors`, in float64")
def _() -> None:
    walker = BFM.from_pretrained("zoo:walker-hilp")
    made = TaskInferenceAgent(RidgePosterior(), ThompsonAcquisition())
    made.start(walker, [0])
    joined = CatTensors(["orientations", "height", "velocity"], "observation")
    TransformedEnv(DMControlEnv("walker", "walk"), Compose(joined, TaskInferenceTransform(made))).rollout(3, walker)


@facility("TorchRL", "`GymEnv` whose actions lie in [-2, 2], unscaled")
def _() -> None:
    TransformedEnv(GymEnv("Pendulum-v1"), TaskInferenceTransform(of_pendulum()))


@facility("TorchRL", "`GymEnv` with `DoubleToFloat` and `ActionScaling`")
def _() -> None:
    made = of_pendulum()
    transforms = Compose(DoubleToFloat(), ActionScaling(), TaskInferenceTransform(made))
    TransformedEnv(GymEnv("Pendulum-v1"), transforms).rollout(3, made.bfm)


@facility("TorchRL", "`GymEnv` with choices as actions")
def _() -> None:
    TransformedEnv(GymEnv("CartPole-v1"), TaskInferenceTransform(agent(1)))


def of_pendulum() -> TaskInferenceAgent:
    from bfmkit.components.bfms.forward_backward import ForwardBackward
    from bfmkit.components.networks.two_stream import TwoStreamNetworks

    spec = GymnasiumEnvironment("Pendulum-v1").spec
    made = TaskInferenceAgent(RidgePosterior(), ThompsonAcquisition())
    made.start(ForwardBackward(spec, TwoStreamNetworks(8, 8), dim=2).requires_grad_(False), [0])
    return made


facility("TorchRL", "the agent's transform on recorded data")(
    lambda: TaskInferenceTransform(agent())(TensorDict({"observation": torch.zeros(2, 4)}, [2]))
)


@facility("TorchRL", "`Collector(environment, bfm)`")
def _() -> None:
    from torchrl.collectors import Collector

    collector = Collector(inferring(), LinearBFM(), frames_per_batch=10, total_frames=20)
    assert sum(batch.numel() for batch in collector) == 20
    collector.shutdown()


@facility("TorchRL", "`Collector(environment, explorer.policy)`, and `explorer.learn(batch)`")
def _() -> None:
    from torchrl.collectors import Collector

    from bfmkit.components.explorers.random_network_distillation import RandomNetworkDistillation

    explorer = RandomNetworkDistillation(ball().spec, width=8, batch_size=8, warmup=8)
    collector = Collector(ball(), explorer.policy, frames_per_batch=10, total_frames=20)
    for batch in collector:
        explorer.learn(batch)
    collector.shutdown()


@facility("TorchRL", "`explorer: {type: torchrl_policy}` of an `OrnsteinUhlenbeckProcessModule`")
def _() -> None:
    from torchrl.modules import OrnsteinUhlenbeckProcessModule

    from bfmkit.components.explorers.torchrl_policy import TorchRLPolicyExplorer

    mean = TensorDictModule(torch.nn.Linear(4, 4), ["observation"], ["action"])
    policy = TensorDictSequential(mean, OrnsteinUhlenbeckProcessModule(spec=ball().action_spec))
    TorchRLPolicyExplorer(ball().spec, policy).act(torch.zeros(2, 4))


@facility("TorchRL", "`AdditiveGaussianModule` after a BFM")
def _() -> None:
    environment = inferring()
    noisy = TensorDictSequential(LinearBFM(), AdditiveGaussianModule(spec=environment.action_spec))
    environment.rollout(3, noisy)


@facility("TorchRL", "`ReplayBuffer.extend(rollout)`")
def _() -> None:
    buffer = ReplayBuffer(storage=LazyTensorStorage(100), batch_size=4)
    buffer.extend(rolled(inferring()).reshape(-1))
    assert buffer.sample()["action"].shape == (4, 4)


@facility("TorchRL", "`dataset.replay_buffer(batch_size).sample()`")
def _() -> None:
    with stored() as data:
        assert data.replay_buffer(8).sample()["next", "done"].shape == (8, 1)


@facility("TorchRL", "`SliceSampler` over a dataset's transitions")
def _() -> None:
    with stored() as data:
        buffer = TensorDictReplayBuffer(
            storage=LazyTensorStorage(40), batch_size=8,
            sampler=SliceSampler(slice_len=4, end_key=("next", "done"), truncated_key=None),
        )  # fmt: skip
        buffer.extend(data.replay_buffer()[:])
        assert len(buffer.sample()) == 8


def recorded(name: str, **arguments: Any) -> None:
    from bfmkit.components.datasets.torchrl import TorchRLDataset

    with stored() as data, tempfile.TemporaryDirectory() as folder:
        # As TorchRL leaves it after a download.
        data.replay_buffer()[:].exclude(("next", "physics")).memmap(Path(folder) / "ball-v0")
        local = {"dataset_id": "ball-v0", "root": folder, "download": False, "direct_download": True, **arguments}
        assert len(TorchRLDataset(name, local, domain="ball", cache=Path(folder) / "cache")) == 40


facility("TorchRL", "`dataset: {type: torchrl, name: D4RLExperienceReplay}`")(lambda: recorded("D4RLExperienceReplay"))
facility("TorchRL", "`dataset: {type: torchrl}` of a class that there is not")(lambda: recorded("D4RLReplay"))

for name in ("PendulumEnv", "GymEnv", "DMControlEnv"):
    words = {
        "PendulumEnv": {"observation_keys": ["th", "thdot"]},
        "GymEnv": {"arguments": {"env_name": "Pendulum-v1"}},
        "DMControlEnv": {"arguments": {"env_name": "hopper", "task_name": "hop"}},
    }[name]
    facility("TorchRL", f"`{{type: torchrl, name: {name}}}`")(
        lambda name=name, words=words: TorchRLEnvironment(name, **words).rollout(3)
    )
facility("TorchRL", "`{type: torchrl}` of a class that there is not")(lambda: TorchRLEnvironment("PendulumEnvv"))


@facility("TorchRL", "`bfmkit.make_env(ParallelEnv(2, PendulumEnv))`, each in its process")
def _() -> None:
    from torchrl.envs import ParallelEnv
    from torchrl.envs.custom import PendulumEnv

    import bfmkit

    made = bfmkit.make_env(ParallelEnv(2, PendulumEnv))
    try:
        assert made.rollout(3).shape == (2, 3)
    finally:
        made.close()


@facility("TorchRL", "`SoftUpdate(objective, tau=0.01)` and `HardUpdate` of target networks")
def _() -> None:
    from torchrl.objectives import HardUpdate, SoftUpdate

    from bfmkit.components.bfms.forward_backward import ForwardBackward
    from bfmkit.components.networks.two_stream import TwoStreamNetworks
    from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
    from bfmkit.testing.objective import SPEC

    objective = ForwardBackwardObjective(ForwardBackward(SPEC, TwoStreamNetworks(8, 8), dim=2))
    SoftUpdate(objective, tau=0.01).step()
    HardUpdate(objective, value_network_update_interval=1).step()


@facility("TorchRL", "`objective.set_keys(observation=...)`, `batch.select(*objective.in_keys)`")
def _() -> None:
    from bfmkit.components.bfms.forward_backward import ForwardBackward
    from bfmkit.components.networks.two_stream import TwoStreamNetworks
    from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
    from bfmkit.testing.objective import SPEC, transitions

    objective = ForwardBackwardObjective(ForwardBackward(SPEC, TwoStreamNetworks(8, 8), dim=2))
    objective.set_keys(observation="state")
    batch = transitions(4).rename_key_("observation", "state").rename_key_(("next", "observation"), ("next", "state"))
    objective(batch.select(*objective.in_keys))


def in_a_process_that_draws(script: str) -> None:
    """Run a script in an empty folder, without a screen or a GL library; nothing of it may fail."""
    with tempfile.TemporaryDirectory() as folder:
        words = {"MUJOCO_GL": "disabled", "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        (Path(folder) / "drawing.py").write_text(script)
        run = subprocess.run(
            [sys.executable, "drawing.py"], cwd=folder, env={**os.environ, **words}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr


@facility("TorchRL", "`PixelRenderTransform` and `VideoRecorder` around ours, single or batched")
def _() -> None:
    in_a_process_that_draws("""
from pathlib import Path

import bfmkit
import torch
from bfmkit.environments.single import SingleEnvironment
from torchrl.envs import Compose, TransformedEnv
from torchrl.record import CSVLogger, PixelRenderTransform, VideoRecorder

rows = bfmkit.make_env("walker", "run", num_envs=2)
for name, environment in (("one", SingleEnvironment(rows)), ("both", rows)):
    recorder = VideoRecorder(CSVLogger("films", ".", video_format="pt"), name, skip=1)
    filmed = TransformedEnv(environment, Compose(PixelRenderTransform(), recorder))
    filmed.rollout(2)
    filmed.transform.dump()
    film = torch.load(next(Path().rglob(f"{name}_0.pt")))
    assert film.shape[-3] == 3 and film.float().std() > 0
""")


@facility("TorchRL", "`rlrender` of a BFM in an environment of ours")
def _() -> None:
    in_a_process_that_draws("""
import sys
from pathlib import Path

import bfmkit
import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.render.cli import main

from bfmkit.environments.single import SingleEnvironment


def environment():
    return SingleEnvironment(bfmkit.make_env("walker", "run"))


def policy(checkpoint):
    latent = TensorDictModule(lambda _: checkpoint["z"], ["observation"], ["z"])
    return TensorDictSequential(latent, bfmkit.load_model("zoo:walker-hilp"))


if __name__ == "__main__":
    torch.save({"z": torch.ones(50)}, "z.pt")
    words = {"ckpt": "z.pt", "env": "drawing:environment", "policy": "drawing:policy", "format": "gif",
             "out": "walker.gif", "max-steps": "2", "num-trajs": "1"}
    sys.argv[1:] = [word for name, value in words.items() for word in (f"--{name}", value)] + ["--no-auto-load-policy"]
    assert not main()
    assert Path("walker.gif").stat().st_size > 1000
""")


# dm_control.

for body, task in (("hopper", "hop"), ("humanoid", "run"), ("finger", "spin"), ("reacher", "easy")):
    facility("dm_control", f"`{{type: dm_control, domain: {body}, task: {task}}}`")(
        lambda body=body, task=task: DMControlEnvironment(body, task).rollout(3)
    )

# tensordict and torch.


@facility("tensordict", "`bfm(tensordict)`")
def _() -> None:
    assert LinearBFM()(TensorDict({"observation": torch.ones(2, 4), "z": torch.ones(2, 4)}, [2]))["action"].shape == (
        2,
        4,
    )


@facility("tensordict", "`bfm(observation=..., z=...)`")
def _() -> None:
    assert LinearBFM()(observation=torch.ones(2, 4), z=torch.ones(2, 4)).shape == (2, 4)


@facility("tensordict", "`TensorDictSequential(module, bfm)`")
def _() -> None:
    chain = TensorDictSequential(TensorDictModule(torch.nn.Linear(3, 4), ["w"], ["z"]), LinearBFM())
    assert chain(TensorDict({"observation": torch.ones(2, 4), "w": torch.ones(2, 3)}, [2]))["action"].shape == (2, 4)


@facility("tensordict", "a posterior as module, rewards (B, 1)")
def _() -> None:
    posterior, given = RidgePosterior(), TensorDict({"features": torch.ones(2, 4)}, [2])
    given["belief"], given["observed"] = posterior.prior(2, 4), torch.ones(2, 1, dtype=torch.bool)
    given["next", "reward"] = torch.ones(2, 1)
    assert posterior(given)["belief", "mean"].abs().sum() > 0


@facility("tensordict", "a posterior as module, rewards (1, B)")
def _() -> None:
    posterior = RidgePosterior()
    posterior.update(posterior.prior(2, 4), torch.ones(2, 4), torch.ones(1, 2), torch.ones(2, dtype=torch.bool))


@facility("tensordict", "`belief.memmap(folder)` and back")
def _() -> None:
    belief = RidgePosterior().prior(2, 4)
    with tempfile.TemporaryDirectory() as folder:
        belief.memmap(folder)
        assert (TensorDict.load_memmap(folder) == belief).all()


facility("tensordict", "`agent.state` stacked, indexed, moved")(
    lambda: torch.stack([agent().state, agent().state])[0, 1].cpu()
)
facility("torch", "`copy.deepcopy(bfm)`")(lambda: copy.deepcopy(LinearBFM()))
facility("torch", "`pickle` of an environment")(
    lambda: pickle.loads(pickle.dumps(DMControlEnvironment("walker", "run")))
)


@facility("torch", "`torch.vmap` over latents")
def _() -> None:
    walker = BFM.from_pretrained("zoo:walker-hilp")
    assert torch.vmap(walker.act, (None, 0))(torch.zeros(24), torch.ones(3, walker.dim)).shape == (3, 6)


@facility("torch", "`dataset[i]` and `DataLoader(dataset)`")
def _() -> None:
    with stored() as data:
        assert next(iter(DataLoader(data, batch_size=5)))["next", "observation"].shape == (5, 4)
        assert data[-1]["action"].shape == (4,)


@facility("torch", "`torch.export` of policy and features")
def _() -> None:
    walker = BFM.from_pretrained("zoo:walker-hilp")
    z = torch.ones(3, walker.dim)
    torch.testing.assert_close(program(walker).module()(torch.zeros(3, 24), z), walker.act(torch.zeros(3, 24), z))
    program(walker, "features")


@facility("torch", "ONNX of the policy")
def _() -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_onnx(BFM.from_pretrained("zoo:walker-fb"), Path(folder) / "policy.onnx")


# Lightning.


def trained(*callbacks: Any) -> None:
    import lightning
    from lightning.pytorch import callbacks as stock

    from bfmkit.components.bfms.forward_backward import ForwardBackward
    from bfmkit.components.networks.two_stream import TwoStreamNetworks
    from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
    from bfmkit.data.sampling import UpdateGroups
    from bfmkit.testing.objective import SPEC, transitions
    from bfmkit.training.lightning_module import Pretraining
    from bfmkit.training.pretraining_options import OptimizerOptions

    class Batches:
        def chunk(self, first: int, count: int) -> TensorDict:
            return torch.stack([transitions(8) for _ in range(count)])

    made = [getattr(stock, name)(**words) for name, words in callbacks]
    with tempfile.TemporaryDirectory() as folder:
        objective = ForwardBackwardObjective(ForwardBackward(SPEC, TwoStreamNetworks(8, 8), dim=2))
        module = Pretraining(objective, 4, OptimizerOptions(1e-3), Path(folder), Batches())  # type: ignore[arg-type]
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=1, logger=False, callbacks=made, default_root_dir=folder,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, UpdateGroups(4, 2, [], lambda: module.update))
        assert module.update == 4, "every update was made, and counted once"


for name, words in (
    ("EMAWeightAveraging", {"decay": 0.9}), ("StochasticWeightAveraging", {"swa_lrs": 0.5}), ("Timer", {}),
):  # fmt: skip
    facility("Lightning", f"`Trainer(callbacks=[{name}(...)])` on a training")(
        lambda name=name, words=words: trained((name, words))
    )


@facility("Lightning", "`Trainer.fit(Pretraining(...), datamodule=TransitionData(...))`")
def _() -> None:
    import lightning

    from bfmkit.components.bfms.forward_backward import ForwardBackward
    from bfmkit.components.networks.two_stream import TwoStreamNetworks
    from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
    from bfmkit.training.data_module import TransitionData
    from bfmkit.training.lightning_module import Pretraining
    from bfmkit.training.pretraining_options import OptimizerOptions

    with stored() as data, tempfile.TemporaryDirectory() as folder:
        model = ForwardBackward(data.spec, TwoStreamNetworks(8, 8), dim=2)
        module = Pretraining(ForwardBackwardObjective(model), 4, OptimizerOptions(1e-3), Path(folder))
        transitions = TransitionData(data, updates=4, batch_size=8, seed=0, out=Path(folder), epoch=2)
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=2, logger=False, default_root_dir=folder, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, datamodule=transitions)
        assert module.update == 4
        assert "loss_measure" in trainer.callback_metrics


def pretrained(**words: Any) -> None:
    from bfmkit.interfaces import Objective
    from bfmkit.jobs.pretrain import PretrainJob
    from bfmkit.recipe import defer
    from bfmkit.training.pretraining_options import EvaluationOptions
    from bfmkit.training.trainer_options import LightningClass

    networks = {"type": "two_stream", "width": 8, "encoder_width": 8}
    node = {"type": "forward_backward", "bfm": {"type": "forward_backward", "dim": 2, "networks": networks}}
    words["callbacks"] = [LightningClass(*each) for each in words.get("callbacks", [])]
    with stored() as data, tempfile.TemporaryDirectory() as folder:
        job = PretrainJob(
            data, defer(Objective, node), updates=4, batch_size=8, inference_set=10,
            evaluation=EvaluationOptions(every=2, health_every=2), **words,
        )  # fmt: skip
        job.run(Path(folder), torch.device("cpu"))


for name, words in (
    ("EarlyStopping", {"monitor": "health/bellman_error"}), ("ModelCheckpoint", {"monitor": "loss_measure"}),
    ("LearningRateMonitor", {}), ("DeviceStatsMonitor", {"cpu_stats": False}), ("RichProgressBar", {}),
    ("TQDMProgressBar", {}), ("RichModelSummary", {}), ("GradientAccumulationScheduler", {"scheduling": {0: 2}}),
):  # fmt: skip
    facility("Lightning", f"`callbacks: [{name}]` in a recipe")(
        lambda name=name, words=words: pretrained(callbacks=[(name, words)])
    )
for key, value in (
    ("gradient_clip_val", 1.0), ("max_time", "00:00:10:00"), ("profiler", "simple"), ("detect_anomaly", True),
    ("deterministic", True), ("fast_dev_run", True), ("limit_train_batches", 1), ("devices", 2),
    ("accumulate_grad_batches", 2), ("max_tim", 2),
):  # fmt: skip
    facility("Lightning", f"`trainer: {{{key}: {str(value).lower()}}}` in a recipe")(
        lambda key=key, value=value: pretrained(trainer={key: value})
    )
facility("Lightning", "`logger: [tensorboard, csv]` in a recipe")(lambda: pretrained(logger=["tensorboard", "csv"]))
facility("Lightning", "`logger: [neptune]` in a recipe")(lambda: pretrained(logger=["neptune"]))

# Gymnasium.

WALKER = "bfmkit/walker-run-v0"


def gym() -> Any:
    return pytest.importorskip("gymnasium", reason="an extra: pip install 'bfmkit[gymnasium]'")


@facility("Gymnasium", f"`gymnasium.make('{WALKER}')` and `check_env`")
def _() -> None:
    gym()
    from gymnasium.utils.env_checker import check_env

    check_env(gym().make(WALKER).unwrapped, skip_render_check=True)


def wrapped(name: str, *words: Any) -> Callable[[], None]:
    def do() -> None:
        environment = getattr(__import__("gymnasium.wrappers").wrappers, name)(gym().make(WALKER), *words)
        environment.reset(seed=0)
        environment.step(environment.action_space.sample())

    return do


facility("Gymnasium", f"`gymnasium.make_vec('{WALKER}', num_envs=2)`")(
    lambda: gym().make_vec(WALKER, num_envs=2, vectorization_mode="sync").reset(seed=0)
)
for words in (
    ("RecordEpisodeStatistics",), ("TimeLimit", 5), ("RescaleAction", -2.0, 2.0), ("ClipAction",),
    ("FlattenObservation",), ("NormalizeObservation",), ("NormalizeReward",), ("FrameStackObservation", 2),
    ("TimeAwareObservation",),
):  # fmt: skip
    facility("Gymnasium", f"`{words[0]}({', '.join(map(str, words[1:]))})` around ours")(wrapped(*words))


@facility("Gymnasium", "`RecordVideo(...)` around ours, and `check_env` of its pictures")
def _() -> None:
    gym()
    pytest.importorskip("moviepy", reason="Gymnasium's RecordVideo writes with it: pip install moviepy")
    in_a_process_that_draws("""
from pathlib import Path

import bfmkit
import gymnasium
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordVideo

make = {"id": "bfmkit/walker-run-v0", "render_mode": "rgb_array", "episode_steps": 2}
recorded = RecordVideo(gymnasium.make(**make), "films", episode_trigger=lambda _: True)
recorded.reset(seed=0)
for _ in range(2):
    recorded.step(recorded.action_space.sample())
recorded.close()
assert [film.name for film in Path("films").iterdir()] == ["rl-video-episode-0.mp4"]
check_env(gymnasium.make(**make).unwrapped)
""")


facility("Gymnasium", "`render_mode='human'`")(lambda: gym().make(WALKER, render_mode="human"))
for name in ("Pendulum-v1", "MountainCarContinuous-v0", "CartPole-v1", "Blackjack-v1", "FrozenLake-v1", "Taxi-v4"):
    facility("Gymnasium", f"`{{type: gymnasium, id: {name}}}`")(lambda name=name: GymnasiumEnvironment(name).rollout(3))


@facility("OGBench", "`{type: gymnasium, id: ogbench:pointmaze-medium-v0}`")
def _() -> None:
    pytest.importorskip("ogbench", reason="an extra: pip install 'bfmkit[ogbench]'")
    GymnasiumEnvironment("ogbench:pointmaze-medium-v0").rollout(3)


@facility("OGBench", "`dataset: {type: ogbench}` of a file in its layout, as `ogbench.load_dataset` reads it")
def _() -> None:
    ogbench = pytest.importorskip("ogbench", reason="an extra: pip install 'bfmkit[ogbench]'")
    from bfmkit.components.datasets.ogbench import OGBenchDataset

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pendulum-v0.npz"
        states = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
        np.savez(path, observations=states, actions=np.zeros((12, 1), np.float32), terminals=np.arange(12) % 4 == 3)
        rows = OGBenchDataset(path, GymnasiumEnvironment("Pendulum-v1"))[:]
        np.testing.assert_array_equal(rows["next", "observation"], ogbench.load_dataset(str(path))["next_observations"])


facility("Gymnasium", "`{type: gymnasium}` of an id that there is not")(lambda: GymnasiumEnvironment("NoSuch-v0"))
facility("Gymnasium", "an observation entry that there is not")(
    lambda: GymnasiumEnvironment("Pendulum-v1", observation_keys=["speed"])
)


def space(kind: str, **words: Any) -> Callable[[], None]:
    def do() -> None:
        from bfmkit.environments.action_scale import space_actions
        from bfmkit.environments.flat_observation import flat_space

        spaces = gym().spaces
        if kind == "Dict":
            space_actions(spaces.Dict(a=spaces.Discrete(2)), "the environment")
        elif kind == "MultiBinary":
            space_actions(spaces.MultiBinary(3), "the environment")
        elif kind == "pixels":
            flat_space(spaces.Box(0, 255, (64, 64, 3), np.uint8), None, "the environment")
        else:
            flat_space(spaces.Dict(a=spaces.Box(-1, 1), mission=spaces.Text(9)), None, "the environment")

    return do


facility("Gymnasium", "actions of a `Dict` space")(space("Dict"))
facility("Gymnasium", "actions of a `MultiBinary` space")(space("MultiBinary"))
facility("Gymnasium", "observations of pixels")(space("pixels"))
facility("Gymnasium", "observations with a `Text` among them")(space("Text"))

# The hub and Stable-Baselines3.


@facility("Hub", "`ModelCard.load(...)` of a model's card: library, tags, results")
def _() -> None:
    from huggingface_hub import ModelCard

    from bfmkit.models.card import write_card

    row = {"oracle_return": 12.6, "standard_deviation": 1.2, "episodes": 3, "episode_steps": 70}
    summary = {"updates": 1, "transitions": 2, "practised": 0, "data": [], "seconds": 1.0, "tasks": {"task_0": row}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "README.md").write_text(write_card(ball_spec(), Path(folder), summary))
        data = ModelCard.load(Path(folder) / "README.md").data
    assert (data.library_name, data.eval_results[0].metric_value) == ("bfmkit", 12.6)


facility("Hub", "`BFM.from_pretrained('zoo:walker-fb')`")(lambda: BFM.from_pretrained("zoo:walker-fb"))


@facility("Hub", "`from_pretrained` of another family")
def _() -> None:
    from bfmkit.components.bfms.forward_backward import ForwardBackward

    ForwardBackward.from_pretrained("zoo:walker-hilp")


facility("Stable-Baselines3", "`agent.predict(observation, state, episode_start)`")(
    lambda: agent().predict(np.zeros((2, 4), np.float32), None, np.ones(2, bool))
)
facility("Stable-Baselines3", "`agent.predict(..., deterministic=False)`")(
    lambda: agent().predict(np.zeros((2, 4), np.float32), deterministic=False)
)


def outcome(one: Facility) -> str:
    """``works``, or the sentence with which it is refused; whatever else it raises is an error."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        # Those of the other libraries, on themselves.
        warnings.simplefilter("ignore")
        try:
            one.do()
        except (ValueError, RuntimeError) as error:
            return f"refused: {' '.join(str(error).split())}"
    return "works"


def page(outcomes: dict[Facility, str]) -> str:
    """The page of the docs."""
    works = sum(said == "works" for said in outcomes.values())
    lines = [
        "# What works with other libraries",
        "",
        f"Tried through those libraries' own entries: {len(outcomes)} facilities, of which {works} work and "
        f"{len(outcomes) - works} are refused with a sentence.",
        "`tests/test_facilities.py` tries them and holds this page to what happens; as a program it writes the page.",
        "",
        "| library | facility | |",
        "| --- | --- | --- |",
    ]
    return (
        "\n".join(
            [*lines, *(f"| {one.library} | {one.name} | {said.replace('|', '/')} |" for one, said in outcomes.items())]
        )
        + "\n"
    )


@pytest.mark.parametrize("one", FACILITIES, ids=lambda one: f"{one.library}: {one.name}")
def test_the_page_says_what_happens(one: Facility) -> None:
    if "ONNX" in one.name:
        pytest.importorskip("onnxscript", reason="an extra: pip install 'bfmkit[onnx]'")
    said = outcome(one).replace("|", "/")
    assert f"| {one.library} | {one.name} | {said} |" in PAGE.read_text().splitlines()


def test_the_page_says_nothing_else() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(FACILITIES) >= 60


if __name__ == "__main__":
    found = {}
    for each in FACILITIES:
        try:
            found[each] = outcome(each)
        except (TypeError, AttributeError, KeyError, AssertionError, NotImplementedError) as error:
            found[each] = f"ERROR {type(error).__name__}: {error}"
            sys.stderr.write(f"{each.name}: {found[each]}\n")
    PAGE.write_text(page(found))
    sys.stderr.write(f"{len(found)} facilities\n")
