"""What is installed: the package list, the wheel, the version, the command that runs the tests."""

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import snnr

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"snnr": "snnr", "cli": "snnr/cli", "data": "snnr/data"}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def setuptools_is_too_old() -> bool:
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return True
    return int(version.split(".")[0]) < 77


def test_the_package_list_names_every_package() -> None:
    on_disk = {
        (Path(place) / path.parent.relative_to(ROOT / folder)).as_posix().replace("/", ".")
        for folder, place in FOLDERS.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(on_disk)


def test_no_module_lies_outside_a_package() -> None:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path


def test_one_version() -> None:
    assert PROJECT["project"]["version"] == snnr.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{snnr.__version__}]" in changes


def test_the_readme_has_the_command_that_ci_runs() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    marker = "-m pytest"
    (command,) = (line for line in readme if line.startswith("python3 -m venv ") and marker in line)
    assert command.split(" && ") == [
        "python3 -m venv .venv",
        ".venv/bin/pip install -e '.[test]'",
        ".venv/bin/python -m pytest",
    ]
    assert "README.md" in script


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from a copy of what belongs to the package."""
    if setuptools_is_too_old():
        pytest.skip("building a wheel needs setuptools>=77 (it is in the extra 'test')")
    copy = tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--wheel-dir", copy / "dist", copy],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_everything_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    wanted = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".gz", ".txt", ".typed") and "__pycache__" not in path.parts
    }
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == wanted
    images = {name for name in held if name.endswith("-ubyte.gz")}
    assert len(images) == 4
    assert "snnr/data/mnist/LICENSE.txt" in held
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_the_wheel_installs_the_program(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert wheel.read(name).decode().split() == ["[console_scripts]", "snnr", "=", "snnr.cli:main"]


def test_the_wheel_works_on_its_own(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    script = (
        "import snnr, snnr.cli, snnr.data; "
        "assert len(snnr.data.load('mnist', limit_train=100).x_train) == 100; "
        "print(snnr.__file__, snnr.cli.__file__, snnr.data.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(Path(path).is_relative_to(tmp_path) for path in done.stdout.split())
