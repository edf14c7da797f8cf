"""Source distribution and wheel are whole: installed, the package lists and checks what the checkout does."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("framework", "components", "recipes", "pyproject.toml", "README.md", "LICENSE")


def run(*words: object, cwd: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MUJOCO_GL": "disabled"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, and that from a copy, for building leaves things beside the sources."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(out)!r})"
    run(sys.executable, "-c", build, cwd=source)
    sources = next(out.glob("*.tar.gz"))
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", out, sources,
        cwd=out,
    )  # fmt: skip
    return next(out.glob("*.whl"))


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    packages = {"framework": "bfmkit", "components": "bfmkit/components", "recipes": "bfmkit/recipes"}
    wanted = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in packages.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert wanted - packed == set()
    assert packed - wanted == set()
    for name in ("py.typed", "cli/templates/query_rule.txt", "recipes/infer/opti_bfm.yaml"):
        assert f"bfmkit/{name}" in packed
    assert "bfmkit/components/environments/assets/point_mass_maze.xml" in packed


def test_it_works_where_there_is_no_checkout(wheel: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    folder = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python, bfmkit = folder / "python", folder / "bfmkit"
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel,
        cwd=tmp_path,
    )  # fmt: skip
    # The other packages are those of this environment; its own bfmkit comes later on the path, and its .pth not at all.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=tmp_path).strip()
    others = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    (Path(site) / "others.pth").write_text("\n".join(sorted(others)) + "\n")
    where = run(
        python, "-c", "import bfmkit, bfmkit.recipes; print(bfmkit.__file__, bfmkit.recipes.__file__)", cwd=tmp_path
    )
    assert all(Path(file).is_relative_to(tmp_path) for file in where.split()), where
    here = run(Path(sysconfig.get_path("scripts")) / "bfmkit", "list", cwd=elsewhere)
    assert run(bfmkit, "list", cwd=elsewhere) == here
    checked = run(bfmkit, "check", "opti_bfm", "collect_point_mass_maze", cwd=elsewhere)
    assert "ok recipes/infer/opti_bfm.yaml" in checked
    assert "ok recipes/collect/collect_point_mass_maze.yaml" in checked


def test_the_extra_for_testing_has_what_contracts_import_and_no_cluster() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    testing = {re.match(r"[\w-]+", word)[0] for word in project["optional-dependencies"]["testing"]}  # type: ignore[index]
    wanted = {re.match(r"[\w-]+", word)[0].lower() for word in project["dependencies"]}  # type: ignore[index]
    known = wanted | sys.stdlib_module_names | {"bfmkit", "numpy"}
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "framework" / "testing").glob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        for name in ([each.name for each in node.names] if isinstance(node, ast.Import) else [])
        + ([node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else [])
    }
    assert imported - known == testing


def test_both_lists_of_versions_agree() -> None:
    """constraints.txt is for pip, uv.lock for uv."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {package["name"]: package["version"] for package in packages if package["name"] != "bfmkit"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    assert {name: locked[name] for name in pinned if name in locked} == {
        name: version for name, version in pinned.items() if name in locked
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in project["dependencies"]:
        assert re.match(r"[\w-]+", word)[0].lower().replace("_", "-") in locked.keys() & pinned.keys()  # type: ignore[index]
    hosts = set(re.findall(r"https?://([^/\"]*)", (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
