"""The example plugin works when pip has installed it, and the page about it shows what it holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PLUGIN = EXAMPLES / "tilted_sampler"

USE = """
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.interfaces import Acquisition
from bfmkit.recipe import build_node, load_recipe
rule = build_node(Acquisition, {"type": "ucb", "candidates": {"type": "tilted", "count": 7}})
print(type(rule.candidates).__module__, rule.candidates.noise_shape(3))
recipe = load_recipe("tilted.yaml").tree
print(recipe["agent"]["acquisition"]["candidates"]["type"], recipe["agent"]["posterior"]["type"])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site folder that the plugin is installed into, from a copy: building leaves things beside the sources."""
    source, site = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("__pycache__"))
    install = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run([sys.executable, "-m", *install], check=True, capture_output=True, timeout=300)
    return site


def python(*words: str, site: Path, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_recipes_use_it_once_it_is_installed(site: Path, tmp_path: Path) -> None:
    shutil.copy(PLUGIN / "tilted.yaml", tmp_path)
    said = python("-W", "error::UserWarning", "-c", USE, site=site, cwd=tmp_path)
    assert said.splitlines() == ["tilted_sampler.candidate_samplers.tilted (7, 5)", "tilted ridge"]


def test_its_own_tests_pass(site: Path, tmp_path: Path) -> None:
    shutil.copytree(PLUGIN / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    words = ("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--import-mode=importlib")
    said = python(*words, site=site, cwd=tmp_path)
    assert int(re.search(r"(\d+) passed", said)[1]) > 8


def test_the_page_shows_the_files_as_they_are() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert {name for name, _ in shown} == {
        "pyproject.toml", "tilted_sampler/candidate_samplers/tilted.py",
        "tests/candidate_samplers/test_tilted.py", "tilted.yaml",
    }  # fmt: skip
    for name, body in shown:
        assert body == (PLUGIN / name).read_text(encoding="utf-8"), name


def test_the_comparison_has_what_it_needs() -> None:
    """It takes minutes, so it is not run here; its parts are."""
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import compare\n"
        "from compare import *\n"
        "compare.SEEDS, compare.EPISODES, compare.STEPS = 1, 2, 5\n"
        "discovery.add_project(HERE)\n"
        "layout = CorrelatedLayout('random', size=12, dim=4, shared=2.0)\n"
        "features = layout.build().features\n"
        "print((features @ features.mT).mean() > 0.5, (features.norm(dim=-1) - 1).abs().max() < 1e-9)\n"
        "for sampler in SAMPLERS:\n"
        "    print(returns(agent_with(sampler), layout).shape)\n"
    )
    said = python("-c", code, site=Path(), cwd=PLUGIN)
    assert said.split("\n")[:3] == ["tensor(True) tensor(True)", "(8, 2)", "(8, 2)"]


def test_the_comparison_is_drawn_in_the_style_of_all_figures(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from compare import *\n"
        "from matplotlib.figure import Figure\n"
        "write = Figure.savefig\n"
        "def savefig(figure, *words, **options):\n"
        "    write(figure, *words, **options)\n"
        "    print(figure.axes[0].spines['top'].get_visible(), figure.axes[0].get_lines()[0].get_color())\n"
        "Figure.savefig = savefig\n"
        f"draw({{name: np.random.rand(4, EPISODES) for name in SAMPLERS}}, Path({str(tmp_path / 'x.png')!r}))\n"
    )
    assert python("-c", code, site=Path(), cwd=PLUGIN).split() == ["False", "#0072B2"]
    rows = (tmp_path / "x.csv").read_text().splitlines()
    assert rows[0] == "episode,ellipsoid_regret,ellipsoid_error,tilted_regret,tilted_error"
    assert len(rows) == 1 + 6
