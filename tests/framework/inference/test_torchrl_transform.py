from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.collectors import Collector, MultiAsyncCollector, MultiSyncCollector
from torchrl.data import Bounded, Composite, Unbounded
from torchrl.envs import ActionScaling, CatTensors, Compose, DMControlEnv, EnvBase, TransformedEnv
from torchrl.envs.utils import check_env_specs

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.fine_tuning import FineTuningAgent
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.bfms.tabular import TabularBFM
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.candidate_samplers.mixture import MixtureCandidates
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.components.environments.tabular import TabularEnvironment
from bfmkit.components.improvers.residual import ResidualImprover
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.inference.batched_agent import Transitions
from bfmkit.inference.episode import run_episode
from bfmkit.inference.torchrl_transform import TaskInferenceTransform
from bfmkit.interfaces import BFM, Environment
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.models import BallEnvironment, LinearBFM

TASKS, SEEDS = ["task_0", "task_3"], [3, 4]


def started(seeds: list[int] = SEEDS) -> TaskInferenceAgent:
    candidates = MixtureCandidates([EllipsoidCandidates(count=16)], include_previous=True)
    agent = TaskInferenceAgent(RidgePosterior(discount=0.99), UCBAcquisition(candidates), EverySchedule(steps=2))
    agent.start(LinearBFM(), seeds)
    return agent


def test_learns_in_a_rollout_what_the_online_loop_learns() -> None:
    inside, outside = started(), started()
    base, alone = BallEnvironment(tasks=TASKS), BallEnvironment(tasks=TASKS)
    base.seed(SEEDS)
    alone.seed(SEEDS)
    environment = TransformedEnv(base, TaskInferenceTransform(inside))
    for _ in range(3):
        latents = []
        run_episode(outside, alone, lambda step, seen=latents: seen.append(step.z.clone()))
        rollout = environment.rollout(20, LinearBFM())
        torch.testing.assert_close(rollout["z"], torch.stack(latents, 1), rtol=0, atol=0)
    inside.flush()
    assert (inside.state == outside.state).all()
    assert inside.state["labels"].tolist() == [60, 60]


def test_an_operator_labels_what_a_rollout_did() -> None:
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), label_memory=20)
    agent.start(LinearBFM(), SEEDS)
    transform = TaskInferenceTransform(agent, observe_reward=False)
    environment = TransformedEnv(BallEnvironment(tasks=TASKS), transform)
    seen = environment.rollout(10, LinearBFM())["next", "observation"].double()
    assert agent.state["labels"].tolist() == [0, 0]
    transform.label(torch.tensor([1.0, -1.0]), seconds=(2.0, 5.0))
    features = seen[:, 5:8].mean(1, keepdim=True)
    posterior = RidgePosterior()
    expected = posterior.condition_on(posterior.prior(2, 4), features, torch.tensor([[1.0], [-1.0]]))
    torch.testing.assert_close(agent.belief["mean"], expected["mean"], rtol=1e-6, atol=1e-8)


LAYOUT = MDPLayout("random", size=5, actions=3, branching=2, dim=3, seed=2)


@pytest.mark.parametrize(
    ("environment", "bfm", "steps"),
    [
        (lambda: TabularEnvironment(LAYOUT, "random_0+random_1", episode_steps=15), lambda: TabularBFM(LAYOUT), 15),
        (lambda: DMControlEnvironment("walker", "run+stand", episode_steps=25), lambda: walker_bfm(), 25),
    ],
    ids=["tabular", "walker"],
)
def test_so_it_does_in_every_world(environment: Callable[[], Environment], bfm: Callable[[], BFM], steps: int) -> None:
    agents, worlds, model = [], [environment(), environment()], bfm()
    for world in worlds:
        agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=4)))
        agent.start(model, SEEDS)
        world.seed(SEEDS)
        agents.append(agent)
    wrapped = TransformedEnv(worlds[1], TaskInferenceTransform(agents[1]))
    for _ in range(2):
        run_episode(agents[0], worlds[0])
        wrapped.rollout(steps, model)
    agents[1].flush()
    assert (agents[0].state == agents[1].state).all()
    assert agents[1].state["labels"].tolist() == [2 * steps, 2 * steps]
    assert agents[1].belief["mean"].abs().sum() > 0


def walker_bfm() -> BFM:
    torch.manual_seed(0)
    spec = DMControlEnvironment("walker", "run").spec
    return ForwardBackward(spec, TwoStreamNetworks(width=16, encoder_width=16), dim=6).requires_grad_(False)


def test_passes_torchrls_own_check() -> None:
    check_env_specs(TransformedEnv(BallEnvironment(tasks=TASKS), TaskInferenceTransform(started())))


def test_a_reset_of_some_rows_opens_an_episode_in_them_alone() -> None:
    agent = started()
    transform = TaskInferenceTransform(agent)
    observation = torch.zeros(2, 4)
    transform._reset(None, TensorDict({"observation": observation}, [2]))
    assert not agent.state["opens_episode"].any()
    before = agent.state["z"].clone()
    agent.observe(observation, observation, observation, torch.zeros(2))
    asked = TensorDict({"_reset": torch.tensor([[False], [True]])}, [2])
    z = transform._reset(asked, TensorDict({"observation": observation}, [2]))["z"]
    assert torch.equal(z[0], before[0])
    assert agent.state["steps_since_choice"].tolist() == [1, 0]


def ball(lengths: tuple[int, ...] = (5, 3)) -> TransformedEnv:
    environment = BallEnvironment(tasks=TASKS, lengths=lengths)
    environment.seed(SEEDS)
    return TransformedEnv(environment, TaskInferenceTransform(started()))


def test_rows_that_end_at_different_times_restart_and_go_on_learning() -> None:
    environment = ball()
    rollout = environment.rollout(12, LinearBFM(), break_when_any_done=False)
    done = rollout["next", "done"].squeeze(-1)
    assert [row.nonzero().squeeze(-1).tolist() for row in done] == [[4, 9], [2, 5, 8, 11]]
    agent = environment.transform.agent
    agent.flush()
    assert agent.state["step"].tolist() == [12, 12] and agent.state["labels"].tolist() == [12, 12]
    # Each row is what it is alone.
    for row, length in enumerate((5, 3)):
        single = BallEnvironment(tasks=TASKS[row : row + 1], lengths=[length])
        single.seed(SEEDS[row : row + 1])
        alone = started(SEEDS[row : row + 1])
        expected = TransformedEnv(single, TaskInferenceTransform(alone)).rollout(
            12, LinearBFM(), break_when_any_done=False
        )
        torch.testing.assert_close(rollout[row : row + 1]["z"], expected["z"], rtol=0, atol=1e-6)


def test_rows_that_have_to_wait_neither_step_nor_learn() -> None:
    environment = ball()
    rollout = environment.rollout(12, LinearBFM(), break_when_any_done=False, break_when_all_done=True)
    assert rollout.shape == (2, 5)
    agent = environment.transform.agent
    agent.flush()
    assert agent.state["step"].tolist() == [5, 3] and agent.state["labels"].tolist() == [5, 3]


@pytest.mark.parametrize("collector", [Collector, MultiSyncCollector, MultiAsyncCollector])
def test_collectors_take_the_model_as_policy(collector: type) -> None:
    makers = ball if collector is Collector else [ball, ball]
    frames = collector(makers, LinearBFM(), frames_per_batch=24, total_frames=48)
    batches = [batch.clone() for batch in frames]
    frames.shutdown()
    assert sum(batch.numel() for batch in batches) == 48
    assert all(batch["z"].norm(dim=-1).min() > 0 for batch in batches)
    for batch in batches:
        assert batch["next", "terminated"].any(), "rows restart within a collector"
        torch.testing.assert_close(batch["action"], LinearBFM().act(batch["observation"], batch["z"]))


WALKER_ENTRIES = ["orientations", "height", "velocity"]


def stand() -> TaskInferenceAgent:
    agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=4)))
    agent.start(walker_bfm(), [0])
    return agent


def test_torchrls_own_walker_needs_its_entries_joined_and_may_be_float64() -> None:
    with pytest.raises(ValueError, match=r"no entry observation \(height, orientations, velocity\); CatTensors"):
        TransformedEnv(DMControlEnv("walker", "walk"), TaskInferenceTransform(stand()))
    agent = stand()
    joined = TransformedEnv(
        DMControlEnv("walker", "walk"),
        Compose(CatTensors(WALKER_ENTRIES, "observation"), TaskInferenceTransform(agent)),
    )
    rollout = joined.rollout(5, agent.bfm)
    assert rollout["observation"].dtype == torch.float64 and rollout["z"].dtype == torch.float32
    agent.flush()
    assert agent.state["labels"].tolist() == [5]


class Torque(EnvBase):
    """Observes the torque that it was given, which lies in [-2, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_spec = Composite(observation=Unbounded(4))
        self.action_spec = Bounded(-2.0, 2.0, (4,))
        self.reward_spec = Unbounded(1)

    def _reset(self, tensordict: TensorDict | None = None, **_: object) -> TensorDict:
        return TensorDict({"observation": torch.zeros(4)})

    def _step(self, tensordict: TensorDict) -> TensorDict:
        return TensorDict(
            {"observation": tensordict["action"], "reward": torch.ones(1), "done": torch.zeros(1, dtype=torch.bool)}
        )

    def _set_seed(self, seed: int | None) -> None: ...


def test_wider_actions_are_scaled_or_refused() -> None:
    with pytest.raises(ValueError, match=r"lie in \[-1, 1\], this environment's in \[-2, 2\]; put ActionScaling"):
        TransformedEnv(Torque(), TaskInferenceTransform(started([3])))
    agent, seen = started([3]), []

    def learn(step: Transitions, active: Tensor) -> Tensor:
        seen.append(step.action.clone())
        return torch.zeros_like(active)

    agent.learn = learn  # type: ignore[method-assign]
    environment = TransformedEnv(Torque(), Compose(ActionScaling(), TaskInferenceTransform(agent)))
    rollout = environment.rollout(3, LinearBFM())
    torch.testing.assert_close(rollout["next", "observation"], 2 * rollout["action"])
    torch.testing.assert_close(torch.cat(seen), rollout["action"]), "the agent sees what the policy chose"


@pytest.mark.parametrize(
    ("environment", "seeds", "words"),
    [
        (lambda: BallEnvironment(dim=3), [3], "observations of 4 numbers; this environment's have 3"),
        (lambda: BallEnvironment(tasks=TASKS), [3], "2 rows needs an agent of as many seeds, got 1"),
    ],
)
def test_environments_that_do_not_fit_are_refused_when_attached(
    environment: Callable[[], Environment], seeds: list[int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        TransformedEnv(environment(), TaskInferenceTransform(started(seeds)))


def test_agents_whose_actions_are_not_those_of_a_z_are_refused() -> None:
    agent = FineTuningAgent(RandomAgent(), ResidualImprover(), None)
    agent.start(LinearBFM(), [3])
    with pytest.raises(ValueError, match="changes actions"):
        TransformedEnv(BallEnvironment(), TaskInferenceTransform(agent))


def test_refuses_recorded_data() -> None:
    with pytest.raises(RuntimeError, match="environment"):
        TaskInferenceTransform(started())(TensorDict({"observation": torch.zeros(2, 4)}, [2]))
