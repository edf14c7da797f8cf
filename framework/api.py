"""Public face: components, models, recipes, agents and runs from Python."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import current_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from bfmkit.environments.adapted import OWN_REWARD, adapt
from bfmkit.environments.labels import labelled_transitions
from bfmkit.inference.episode import run_episode
from bfmkit.inference.experiment import Experiment
from bfmkit.interfaces import BFM, Agent, Environment, RunStoppedError
from bfmkit.models.folder import load_model as read_model
from bfmkit.models.folder import resolve
from bfmkit.recipe import Recipe, build_node
from bfmkit.recipe import load_recipe as read_recipe
from bfmkit.registry import discovery, register
from bfmkit.registry.kinds import KINDS
from bfmkit.registry.messages import one_of, suggestion
from bfmkit.runs.label_log import LabelLog
from bfmkit.runs.recording import save_record
from bfmkit.runs.run_directory import default_out, join_run, open_run, write_summary
from bfmkit.training.cluster import is_first_process
from bfmkit.utils.errors import JobError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

__all__ = [
    "Component", "RunResult", "draw_returns", "evaluate", "list_components", "load_agent", "load_model", "load_recipe",
    "make", "make_env", "read_results", "register", "run", "save_record",
]  # fmt: skip


class Component(NamedTuple):
    """Name, summary and package of a component."""

    name: str
    summary: str
    package: str


class RunResult(NamedTuple):
    """Run directory and summary of a finished run."""

    out: Path
    summary: dict[str, Any]


def list_components(kind: str) -> list[Component]:
    """Components of a kind, by name; none of them is imported.

    Raises:
        RefusedError: if there is no such kind.

    Example:
        >>> [component.name for component in list_components("query_rule")]
        ['always', 'budget', 'd_gap']
    """
    discovery.add_project(Path.cwd())
    _require_kind(kind)
    return [Component(found.name, found.summary, found.package) for found in discovery.find(KINDS[kind].folder)]


def make(kind: str, name: str, **arguments: Any) -> Any:
    """Component built from its arguments, which are checked as a recipe's are.

    Raises:
        RefusedError: if there is no such kind.
        RecipeError: if there is no such component, or with all that is wrong with its arguments.

    Example:
        >>> make("posterior", "ridge", regularization=2.0).regularization
        2.0
    """
    discovery.add_project(Path.cwd())
    _require_kind(kind)
    return build_node(KINDS[kind].interface(), {"type": name, **arguments})


def make_env(
    environment: Any, task: str | None = None, num_envs: int | None = None, type: str = "dm_control", **arguments: Any
) -> Environment:
    """Batched environment with one task in every row.

    Args:
        environment: a domain, such as ``"walker"``, an environment of Gymnasium or TorchRL, or a function that makes
            one.
        task: its name, or a typed reward; of another library's environment its own reward if not given.
        num_envs: B, the number of rows; of a ``SerialEnv`` or ``ParallelEnv`` its own if not given, else one.
        type: the component that has the domain.
        arguments: further arguments of that component; for another library's environment ``episode_steps`` and
            ``observation_keys``.

    Raises:
        RecipeError: if there is no such domain or task, or an argument is wrong.
        ValueError: if another library's environment cannot be adapted, or for a typed reward that it cannot have.

    Example:
        >>> len(make_env("walker", "run", num_envs=4).tasks)
        4
        >>> import gymnasium
        >>> make_env(gymnasium.make("Pendulum-v1"), num_envs=2).spec.observation_names
        ('observation_0', 'observation_1', 'observation_2')
    """
    if isinstance(environment, str):
        first: Environment = make("environment", type, domain=environment, task=task, **arguments)
    else:
        first = adapt(environment, OWN_REWARD if task is None else task, **arguments)
    return first.with_tasks(first.tasks[:1] * (num_envs or len(first.tasks)))


def load_model(path: str) -> BFM:
    """Behaviour foundation model of a folder, ``zoo:NAME`` or ``hf:OWNER/NAME``, with its inference set.

    Raises:
        FileNotFoundError: if there is no such model.

    Example:
        >>> load_model("zoo:point-mass-maze").dim
        100
    """
    return read_model(resolve(path))


def load_recipe(recipe: str | Path, *overrides: str | Mapping[str, Any]) -> Recipe:
    """Checked recipe, from a file or the name of a shipped one; a plugin of the working directory is known to it.

    Args:
        recipe: a file, or the name of a shipped recipe.
        overrides: ``"path.to.key=value"``, as on the command line, or a mapping ``{"path.to.key": value}``.

    Raises:
        RecipeError: with all that is wrong with it.
        TypeError: if overrides are texts and mappings, or something else.

    Example:
        >>> load_recipe("opti_bfm", "environment.task=walk").tree["environment"]["task"]
        'walk'
        >>> load_recipe("opti_bfm", {"environment.task": "walk"}).tree["environment"]["task"]
        'walk'
    """
    discovery.add_project(Path.cwd())
    if all(isinstance(override, str) for override in overrides):
        return read_recipe(recipe, [str(override) for override in overrides])
    merged: dict[str, Any] = {}
    for override in overrides:
        if not isinstance(override, Mapping):
            raise TypeError("overrides are texts, an argument each, or a mapping, not both; a run directory is out=")
        merged |= override
    return read_recipe(recipe, merged)


def run(
    recipe: Recipe | str | Path,
    *overrides: str | Mapping[str, Any],
    out: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> RunResult:
    """Run of a recipe's job in a run directory; the same directory again resumes it. Works in a notebook.

    Args:
        recipe: from :func:`load_recipe`, a file, or the name of a shipped recipe.
        overrides: as of :func:`load_recipe`, where the recipe is not loaded yet.
        out: the run directory; ``runs/RECIPE-TIME`` if not given.
        device: where to compute.

    Raises:
        RecipeError: with all that is wrong with the recipe.
        RunDirectoryError: if ``out`` holds something else.
        JobError: if the job ends without having done all of its work, or the call stands in a script outside of
            ``if __name__ == "__main__":`` and a process that the job has started imports it.
        ValueError: if several processes run the job, and ``out`` is not given.
        TypeError: if overrides are texts and mappings, or something else, or the recipe is loaded already.

    Example:
        >>> import tempfile
        >>> brief = ["episodes=1", "oracle_episodes=0", "environment.episode_steps=50"]
        >>> result = run("opti_bfm", *brief, out=tempfile.mkdtemp())
        >>> list(result.summary["tasks"])
        ['stand']
    """
    # Set while a spawned process imports the script, as multiprocessing's own check has it.
    if getattr(current_process(), "_inheriting", False):
        raise JobError("bfmkit.run is called anew by a process that it has started, which imports your script: put the "
                       'call under `if __name__ == "__main__":`')  # fmt: skip
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, *overrides)
    elif overrides:
        raise TypeError("a loaded recipe takes no overrides: give them to load_recipe, and a run directory as out=")
    device, job = torch.device(device), recipe.build()
    if job.processes > 1 and out is None:
        raise ValueError("several processes share a run directory: give out")
    folder = Path(out) if out is not None else default_out(recipe)
    if job.processes > 1 and not is_first_process():
        join_run(folder, recipe)
        return RunResult(folder, job.run(folder, device))
    facts = {"recipe": recipe.source, "seed": recipe.tree.get("seed"), "device": str(device),
             "threads": torch.get_num_threads()}  # fmt: skip
    with open_run(folder, recipe, facts):
        summary = job.run(folder, device)
        write_summary(folder, summary)
    return RunResult(folder, summary)


def read_results(out: str | Path) -> pl.DataFrame:
    """Episodes of a run of ``infer`` or ``benchmark``, a row each.

    Args:
        out: the run directory, also of a run that goes on or was interrupted.

    Raises:
        ValueError: if the directory holds no run, or one of another job.

    Example:
        >>> import tempfile
        >>> brief = ["episodes=2", "oracle_episodes=0", "environment.episode_steps=50"]
        >>> read_results(run("opti_bfm", *brief, out=tempfile.mkdtemp()).out)["episode"].to_list()
        [0, 1]
    """
    from bfmkit.evaluation.results import read_results as read

    return read(Path(out))


def draw_returns(
    path: str | Path,
    *out: str | Path,
    recipes: Sequence[str] = (),
    tasks: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    width: float | None = None,
    panel_height: float | None = None,
    formats: Sequence[str] = (),
) -> Path:
    """Figure of the returns by episode of finished runs, as in their report; its numbers go into a CSV file beside it.

    Args:
        path: of the PNG file.
        out: run directories of ``infer`` or ``benchmark``.
        recipes: which of them, in this order; all if none are given.
        tasks: which of them; all if none are given.
        labels: recipe or task -> what to call it.
        width: of the figure, inches; None takes as much as its panels want.
        panel_height: of each row of panels, inches; None takes that of reports.
        formats: to write besides PNG: "pdf", "svg".

    Raises:
        RunDirectoryError: for a directory without a finished run, or a recipe or task that no run has.
        ValueError: for another format, a size that is not positive, or runs without episodes.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> brief = ["episodes=2", "oracle_episodes=0", "environment.episode_steps=50"]
        >>> out = run("opti_bfm", *brief, out=folder / "run").out
        >>> draw_returns(folder / "returns.png", out, labels={"opti_bfm": "OpTI-BFM"}, width=3.25, formats=["pdf"]).name
        'returns.png'
    """
    import polars as pl

    from bfmkit.report.plots.comparison import draw_return_by_episode
    from bfmkit.report.plots.style import FigureOptions, figure_options
    from bfmkit.report.run_reader import chosen, read_runs

    tables = [each.results for each in chosen(read_runs([Path(each) for each in out]), recipes, tasks, labels)]
    results = [table for table in tables if table is not None and not table.is_empty()]
    if not results:
        raise ValueError("there is no run with episodes to draw")
    with figure_options(FigureOptions(tuple(formats), width, panel_height)):
        draw_return_by_episode(Path(path), pl.concat(results))
    return Path(path)


def load_agent(
    recipe: str | Path,
    *overrides: str | Mapping[str, Any],
    seeds: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    label_log: bool = True,
) -> Agent:
    """Agent of an inference recipe, with its model, started.

    The recipe's environment is built only for an agent that wants labelled transitions; their rewards are those of
    the recipe's task. Call ``agent.begin_episode()`` where an episode begins anew.

    Args:
        recipe: a file, or the name of a shipped recipe.
        overrides: as of :func:`load_recipe`.
        seeds: one a run; the recipe's seed if none are given.
        device: where to compute.
        label_log: whether the agent keeps what its belief takes in, for :func:`save_record`; some 4d + 9 bytes a step
            and run, so not for a robot that acts for weeks.

    Raises:
        RecipeError: with all that is wrong with the recipe.
        ValueError: if it is the recipe of another job.
        TypeError: if overrides are texts and mappings, or something else.

    Example:
        >>> agent = load_agent("opti_bfm", "seed=3")
        >>> agent.act(torch.zeros(1, agent.bfm.environment_spec.observation_size)).shape
        torch.Size([1, 6])
    """
    loaded = load_recipe(recipe, *overrides)
    if not issubclass(loaded.job_class, Experiment):
        raise ValueError(f"{loaded.source}: an agent comes from a recipe of type infer, not {loaded.tree['type']}")
    parts = loaded.root.arguments
    bfm = parts["bfm"].build().to(device)
    agent: Agent = parts["agent"].build()
    runs = list(seeds) if seeds is not None else [parts.get("seed", 0)]
    labelled = None
    if agent.labelled_transitions > 0:
        environment = parts["environment"].build()
        tasks = [environment.tasks[0]] * len(runs)
        labelled = labelled_transitions(bfm, environment, tasks, agent.labelled_transitions, agent.label_every)
    if label_log:
        origin = {name: loaded.tree[name] for name in ("bfm", "agent", "environment") if name in loaded.tree}
        agent.label_log = LabelLog(origin | {"start_labels": "the model's inference set, labelled by the environment"})
    agent.start(bfm, runs, labelled)
    return agent


def evaluate(agent: Agent, env: Environment, episodes: int = 10) -> Tensor:  # (episodes, B) float64
    """Returns of an agent that acts and learns for some episodes, one row an episode and one column a run.

    The agent goes on from what it believes; :attr:`Agent.state_dict` before it and ``load_state_dict`` after it leave
    that as it was. Runs that were stopped have NaN from that episode on (:attr:`Agent.failures` says why).

    Args:
        agent: started, such as from :func:`load_agent`.
        env: with as many rows as the agent has runs; row i begins the episodes of the agent's seed i.
        episodes: how many.

    Raises:
        ValueError: if the agent is not started, the numbers of rows differ, the model is of another body, or
            ``episodes`` is negative.

    Example:
        >>> agent = load_agent("opti_bfm", seeds=[0, 1])
        >>> evaluate(agent, make_env("walker", "stand", num_envs=2, episode_steps=50), episodes=3).shape
        torch.Size([3, 2])
    """
    if episodes < 0:
        raise ValueError(f"episodes must not be negative, got {episodes}")
    if not hasattr(agent, "bfm"):
        raise ValueError("the agent has no model yet: take it from bfmkit.load_agent, or call its start()")
    if len(env.tasks) != len(agent.seeds):
        raise ValueError(f"the agent has {len(agent.seeds)} runs, and the environment {len(env.tasks)} rows")
    env = env.fitted_to(agent.bfm.environment_spec, "the model")
    env.seed(agent.seeds)
    agent.control_timestep = env.spec.control_timestep
    returns = torch.full((episodes, len(agent.seeds)), torch.nan, dtype=torch.float64)
    with suppress(RunStoppedError):
        for row in returns:
            episode = run_episode(agent, env)
            row.copy_(torch.where(episode.stopped, torch.nan, episode.returns))
    return returns


def _require_kind(kind: str) -> None:
    if kind not in KINDS:
        raise RefusedError(f'no kind "{kind}"{suggestion(kind, list(KINDS))} {one_of(list(KINDS))}')
