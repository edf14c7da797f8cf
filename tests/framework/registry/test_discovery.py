"""Plugins: found by their entry point, named when they are broken, and never in the way of anything else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bfmkit.registry import discovery

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.0"
[project.entry-points."bfmkit.components"]
{package} = "{package}"
[tool.setuptools.packages.find]
include = ["{package}*"]
"""

QUERY_RULE = '''
from bfmkit.interfaces import QueryRule
from bfmkit.registry import register

{first}

@register(QueryRule, "{name}")
class SomeQueryRule(QueryRule):
    """Open, says the plugin."""

    def __init__(self, width: float = 1.0) -> None:
        self.width = width

    def should_query(self, posterior, belief, features, labels):
        return labels >= 0
'''


def write_package(folder: Path, package: str, query_rules: dict[str, str], init: str = "") -> None:
    """A package with query rules; each has a line to run before the class."""
    (folder / package / "query_rules").mkdir(parents=True)
    (folder / package / "__init__.py").write_text(init)
    (folder / package / "query_rules" / "__init__.py").write_text("")
    for name, first in query_rules.items():
        (folder / package / "query_rules" / f"{name}.py").write_text(QUERY_RULE.format(name=name, first=first))


def write_metadata(folder: Path, package: str) -> None:
    """What an installer leaves behind."""
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{discovery.ENTRY_POINTS}]\n{package} = {package}\n")


def python(code: str, path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        env=environment, cwd=cwd, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def bfmkit(arguments: list[str], path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python(f"import sys; from bfmkit.cli import main; sys.exit(main({arguments!r}))", path, cwd)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site folder with a plugin that pip has installed, and several that are broken."""
    source, site = tmp_path_factory.mktemp("plugin"), tmp_path_factory.mktemp("site")
    write_package(source, "good_plugin", {"wide_open": "", "crooked": "import module_that_is_not_there"})
    (source / "pyproject.toml").write_text(PYPROJECT.format(name="good-plugin", package="good_plugin"))
    install = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run([sys.executable, "-m", *install], check=True, capture_output=True, timeout=300)
    write_package(site, "failing_plugin", {"unreachable": ""}, init='raise RuntimeError("this plugin is ill")')
    write_package(site, "torn_plugin", {"torn": "def ("})
    write_package(site, "late_plugin", {"late": 'if True:\n    raise OSError("no licence")', "misnamed": ""})
    misnamed = site / "late_plugin" / "query_rules" / "misnamed.py"
    misnamed.write_text(misnamed.read_text().replace('"misnamed"', '"other_name"'))
    for package in ("failing_plugin", "torn_plugin", "late_plugin", "absent_plugin"):
        write_metadata(site, package)
    return site


def test_a_plugin_that_pip_installed_is_used_by_name(site: Path, tmp_path: Path) -> None:
    done = python(
        "from bfmkit.interfaces import QueryRule\n"
        "from bfmkit.recipe import build_node\n"
        "import sys; assert 'good_plugin.query_rules' not in sys.modules\n"
        "print(build_node(QueryRule, {'type': 'wide_open', 'width': 2}).width)\n"
        "build_node(QueryRule, {'type': 'always'})",
        site,
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "2.0\n"), done.stderr


def test_the_list_names_what_is_broken_and_goes_on(site: Path, tmp_path: Path) -> None:
    done = bfmkit(["list", "query_rule"], site, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert "Open, says the plugin. [good_plugin]" in lines["wide_open"]
    assert "Query rule that asks for every reward" in lines["always"]
    assert "BROKEN" in lines["crooked"]
    assert "module_that_is_not_there" in lines["crooked"]
    assert "BROKEN: RuntimeError: this plugin is ill" in lines["unreachable"]
    assert "BROKEN: SyntaxError" in lines["torn"]
    assert "the file's name must be the component's" in lines["misnamed"]
    assert "plugin failing_plugin: broken: RuntimeError: this plugin is ill" in done.stderr
    assert "plugin absent_plugin: broken: ModuleNotFoundError" in done.stderr


REASONS = {
    "crooked": "good_plugin.query_rules.crooked: ModuleNotFoundError: No module named 'module_that_is_not_there'",
    "unreachable": "failing_plugin.query_rules.unreachable: RuntimeError: this plugin is ill",
    "torn": "torn_plugin.query_rules.torn: SyntaxError",
    "late": "late_plugin.query_rules.late: OSError: no licence",
    "misnamed": 'late_plugin.query_rules.misnamed does not register a query_rule "misnamed"',
}


def test_using_what_is_broken_says_so_in_one_line(site: Path, tmp_path: Path) -> None:
    done = python(
        "from bfmkit.interfaces import QueryRule\n"
        "from bfmkit.recipe import RecipeError, build_node\n"
        f"for name in {list(REASONS)!r}:\n"
        "    try:\n"
        "        build_node(QueryRule, {'type': name}, source='some.yaml')\n"
        "    except RecipeError as error:\n"
        "        print(error)\n"
        "build_node(QueryRule, {'type': 'always'})",
        site,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(REASONS)
    for line, reason in zip(lines, REASONS.values(), strict=True):
        assert line.startswith("some.yaml: type: ")
        assert reason in line


def test_the_schema_and_the_doctor_name_what_is_broken_too(site: Path, tmp_path: Path) -> None:
    done = python(
        "from bfmkit.cli import main\nprint('codes', main(['schema']), main(['doctor']))",
        site,
        tmp_path,
    )
    schema, doctor = done.stdout.split("\nok    python", maxsplit=1)
    assert '"wide_open"' in schema
    assert "left out: " in done.stderr
    assert "no licence" in done.stderr
    assert "no licence" in doctor
    assert "this plugin is ill" in doctor
    # A plugin that is broken is a warning: bfmkit itself can be used.
    assert "codes 0 0" in doctor, doctor


def test_a_plugin_that_is_being_written_is_found_from_its_folder(tmp_path: Path) -> None:
    write_package(tmp_path, "unborn_plugin", {"unborn": ""})
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.format(name="unborn", package="unborn_plugin"))
    assert "[unborn_plugin]" in bfmkit(["list", "query_rule"], tmp_path / "nothing", tmp_path).stdout
    (tmp_path / "elsewhere").mkdir()
    assert "unborn" not in bfmkit(["list", "query_rule"], tmp_path / "nothing", tmp_path / "elsewhere").stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[project]\nname = 'x'",
        "[project]\nentry-points = 3",
        "[project.entry-points]\n'bfmkit.components' = 3",
    ],
)
def test_a_folder_that_is_no_plugin_brings_its_modules_alone(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    before, path = discovery.packages(), list(sys.path)
    monkeypatch.setattr(sys, "path", list(path))
    discovery.add_project(tmp_path)
    assert sys.path == [*path, str(tmp_path)]
    assert discovery.packages() == before


def test_ours_come_first_so_that_no_plugin_hides_them(site: Path, tmp_path: Path) -> None:
    write_package(tmp_path, "a_greedy_plugin", {"always": ""})
    write_metadata(tmp_path, "a_greedy_plugin")
    done = python(
        "import warnings\n"
        "from bfmkit.interfaces import QueryRule\n"
        "from bfmkit.registry import lookup\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    print(lookup(QueryRule, 'always').__module__)\n"
        "print([str(each.message) for each in caught if 'hides' in str(each.message)])",
        tmp_path,
        tmp_path,
    )
    assert done.stdout.startswith("bfmkit.components.query_rules.always\n"), done.stderr
    assert "bfmkit.components.query_rules.always hides a_greedy_plugin.query_rules.always" in done.stdout
