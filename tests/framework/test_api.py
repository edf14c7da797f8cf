from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import bfmkit
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import BFM, Environment, RunStoppedError, StepResult
from bfmkit.recipe import RecipeError
from bfmkit.registry import registry
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.testing.registry import registered
from bfmkit.utils.errors import RefusedError

RECIPE = """
type: infer
bfm: {type: ball}
environment: {type: ball}
agent:
  type: task_inference
  posterior: {type: ridge}
  acquisition: {type: ucb, candidates: {type: ellipsoid, count: 16}}
seed: 4
"""


class Ball(LinearBFM):
    """For recipes."""

    def __init__(self, labelled: int = 64) -> None:
        super().__init__(labelled=labelled)


class BallWorld(BallEnvironment):
    """For recipes."""

    built = 0

    def __init__(self, task: str = "task_2") -> None:
        super().__init__(tasks=[task])
        BallWorld.built += 1


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "ball.yaml"
    path.write_text(RECIPE)
    with registered(BFM, "ball", Ball), registered(Environment, "ball", BallWorld):
        BallWorld.built = 0
        yield path


def test_an_agent_acts_and_learns_without_an_environment(recipe: Path) -> None:
    agent = bfmkit.load_agent(recipe)
    assert agent.seeds == (4,)
    observation = torch.zeros(4)
    for _ in range(60):
        action = agent.act(observation)
        agent.observe(observation, action, action, action[1])
        observation = action
    assert action[1] > 0.95
    assert agent.state["labels"].tolist() == [60]
    assert BallWorld.built == 0


def test_overrides_and_seeds_are_taken(recipe: Path) -> None:
    agent = bfmkit.load_agent(str(recipe), "agent.posterior.regularization=3", seeds=[1, 2])
    assert agent.seeds == (1, 2)
    assert agent.posterior.regularization == 3.0
    assert agent.act(torch.zeros(2, 4)).shape == (2, 4)


def test_labels_come_from_the_recipes_environment(recipe: Path) -> None:
    agent = bfmkit.load_agent(recipe, "agent={type: oracle}")
    action = agent.act(torch.zeros(4))
    assert action[2] > 0.999
    assert BallWorld.built == 1


def test_what_goes_wrong_is_said(recipe: Path) -> None:
    with pytest.raises(RecipeError, match="ridgee"):
        bfmkit.load_agent(recipe, "agent.posterior.type=ridgee")
    with pytest.raises(RunStoppedError, match="seed 4"):
        bfmkit.load_agent(recipe).act([0.0, float("nan"), 0.0, 0.0])
    with pytest.raises(ValueError, match="inference set"):
        bfmkit.load_agent(recipe, "agent={type: oracle}", "bfm.labelled=0")


def test_a_recipe_of_another_job_is_refused(recipe: Path, tmp_path: Path) -> None:
    from bfmkit.interfaces import Job

    class Idle(Job):
        """Does nothing."""

        def run(self, out: Path, device: torch.device) -> dict:
            return {}

    other = tmp_path / "idle.yaml"
    other.write_text("type: idle\n")
    with registered(Job, "idle", Idle), pytest.raises(ValueError, match="infer, not idle"):
        bfmkit.load_agent(other)


def test_importing_bfmkit_takes_less_than_a_tenth_of_a_second() -> None:
    code = "import time; start = time.process_time(); import bfmkit; print(time.process_time() - start)"
    seconds = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(seconds) < 0.1


def test_importing_bfmkit_imports_nothing_heavy() -> None:
    code = "import sys, bfmkit; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", [name for name in bfmkit.__all__ if name != "__version__"])
def test_the_example_of_each_public_name_is_true(name: str) -> None:
    function = getattr(bfmkit, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=dict(vars(inspect.getmodule(function))))
    with warnings.catch_warnings():
        # Gymnasium's own, of its import.
        warnings.simplefilter("ignore")
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    registry._classes.pop(("query_rule", "even_labels"), None)
    assert result.attempted > 0
    assert result.failed == 0


def test_an_agent_is_evaluated_in_an_environment(recipe: Path) -> None:
    agent = bfmkit.load_agent(recipe, seeds=[1, 2])
    environment = BallEnvironment(tasks=["task_2", "task_2"])
    returns = bfmkit.evaluate(agent, environment, episodes=3)
    assert returns.shape == (3, 2)
    # The agent's own loop, from the same seeds, gives the same numbers.
    again = bfmkit.load_agent(recipe, seeds=[1, 2])
    environment.seed([1, 2])
    expected = torch.stack([run_episode(again, environment).returns for _ in range(3)])
    assert torch.equal(returns, expected)
    assert (returns[2] > returns[0]).all()


def test_evaluation_says_what_does_not_fit(recipe: Path) -> None:
    agent = bfmkit.load_agent(recipe, seeds=[1, 2])
    with pytest.raises(ValueError, match="2 runs, and the environment 1 rows"):
        bfmkit.evaluate(agent, BallEnvironment(tasks=["task_2"]))
    with pytest.raises(ValueError, match="model"):
        bfmkit.evaluate(bfmkit.make("agent", "random"), BallEnvironment(tasks=["task_2"]))
    with pytest.raises(ValueError, match="episodes must not be negative, got -2"):
        bfmkit.evaluate(agent, BallEnvironment(tasks=["task_2", "task_2"]), episodes=-2)


def test_a_run_that_a_new_process_calls_while_it_imports_the_script_says_what_to_do(
    recipe: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "import bfmkit\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    process.start(), process.join()\n"
        "else:\n"
        f"    bfmkit.run({str(recipe)!r}, out={str(tmp_path / 'out')!r})\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert 'put the call under `if __name__ == "__main__":`' in done.stderr
    assert not (tmp_path / "out").exists()


def test_stopped_runs_have_no_return(recipe: Path) -> None:
    class Faulty(BallEnvironment):
        def step_batch(self, action: torch.Tensor, rows: torch.Tensor | None = None) -> StepResult:
            outcome = super().step_batch(action, rows)
            return outcome._replace(reward=torch.tensor([torch.nan, 1.0]))

    agent = bfmkit.load_agent(recipe, seeds=[1, 2])
    returns = bfmkit.evaluate(agent, Faulty(tasks=["task_2", "task_2"]), episodes=2)
    assert returns.isnan().tolist() == [[True, False], [True, False]]
    assert list(agent.failures) == [0]


def test_belief_and_posterior_are_in_the_interface(recipe: Path) -> None:
    agent = bfmkit.load_agent(recipe)
    assert agent.posterior.mean(agent.belief).shape == (1, agent.bfm.dim)
    with pytest.raises(AttributeError, match="RandomAgent learns nothing"):
        _ = bfmkit.make("agent", "random").belief


def test_environments_of_other_libraries_are_batched() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    made = bfmkit.make_env(lambda: gymnasium.make("Pendulum-v1"), num_envs=2)
    copied = bfmkit.make_env(gymnasium.make("Pendulum-v1"), num_envs=2)
    for environment in (made, copied):
        environment.seed([3, 4])
        first, _ = environment.reset_batch()
        assert first.shape == (2, 3)
        assert environment.spec.domain == "Pendulum-v1"
        assert environment.spec.episode_steps == 200
    action = torch.tensor([[1.0], [-1.0]])
    assert torch.equal(made.step_batch(action).observation, copied.step_batch(action).observation)
    with pytest.raises(ValueError, match="neither"):
        bfmkit.make_env(object())


def test_the_public_face_is_lazy_and_complete() -> None:
    code = "import sys, bfmkit; assert 'torch' not in sys.modules; print(bfmkit.__version__); "
    code += "[getattr(bfmkit, name) for name in bfmkit.__all__]"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0.1.0\n"), done.stderr
    with pytest.raises(AttributeError, match="nothing"):
        bfmkit.nothing


def test_a_kind_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(RefusedError, match='no kind "postrior"; did you mean "posterior"'):
        bfmkit.make("postrior", "ridge")


def test_a_recipe_runs_without_the_command_line(recipe: Path, tmp_path: Path) -> None:
    result = bfmkit.run(recipe, "episodes=2", "oracle_episodes=0", out=tmp_path / "out")
    assert result.out == tmp_path / "out"
    assert len(bfmkit.read_results(result.out)) == 2


def test_overrides_may_be_a_mapping(recipe: Path) -> None:
    agent = bfmkit.load_agent(recipe, {"seed": 3})
    assert agent.seeds == (3,)
    assert bfmkit.load_recipe(recipe, {"seed": 3}, {"episodes": 2}).tree["seed"] == 3
    for mixed in (("seed=3", {"seed": 4}), (["seed=3"],)):
        with pytest.raises(TypeError, match="an argument each"):
            bfmkit.load_agent(recipe, *mixed)


def test_a_loaded_recipe_takes_no_more_overrides(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="give them to load_recipe"):
        bfmkit.run(bfmkit.load_recipe(recipe), "seed=3", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_agents_and_recipes_say_in_a_line_what_they_are(recipe: Path) -> None:
    agent = bfmkit.load_agent(recipe, seeds=[0, 1])
    assert repr(agent).startswith("TaskInferenceAgent(")
    assert "posterior=RidgePosterior" in repr(agent)
    assert repr(agent).endswith("seeds=(0, 1))")
    assert len(repr(bfmkit.load_recipe(recipe))) < 200
