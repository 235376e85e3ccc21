"""After `pip install .` and `pip install -e .` everything is there, wherever Python is started."""

import importlib.metadata
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import snnr
import snnr.cli
import snnr.data
from snnr import data, nn
from snnr.data import load
assert snnr.data is data
images = data.load("mnist", limit_train=100).x_train
assert images.shape == (100, 1, 28, 28)
assert snnr.Trainer.__name__ == "Trainer"
print(snnr.cli.main.name or "snnr", len(images))
"""


def setuptools_is_too_old() -> bool:
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return True
    return int(version.split(".")[0]) < 77


def output(command: list[str | Path], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env={"PATH": "", "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Installed:
    """A checkout, and an environment of its own into which it was installed."""

    def __init__(self, place: Path, *options: str) -> None:
        self.checkout = place / "checkout"
        self.elsewhere = place / "elsewhere"
        self.elsewhere.mkdir()
        for name in ("snnr", "cli", "data", "examples"):
            shutil.copytree(
                ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.checkout)
        venv.create(place / "venv", with_pip=False, symlinks=True)
        (self.python,) = (place / "venv").glob("bin/python")
        # what snnr depends on, from the environment that runs the tests; not its .pth files, so
        # that an editable installation there is not seen
        packages = Path(numpy.__file__).parents[1]
        (site,) = (place / "venv").glob("lib/python*/site-packages")
        (site / "dependencies.pth").write_text(f"{packages}\n", encoding="utf-8")
        output(
            [sys.executable, "-m", "pip", "--python", self.python, "install", "--no-deps",
             "--no-build-isolation", "--no-index", "--ignore-installed", "--quiet",
             "--no-warn-script-location", "--disable-pip-version-check", *options, "."],
            self.checkout,
        )  # fmt: skip


@pytest.fixture(scope="module", params=[(), ("--editable",)], ids=["install", "editable"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    if setuptools_is_too_old():
        pytest.skip("building needs setuptools>=77 (it is in the extra 'test')")
    if sys.platform == "win32":
        pytest.skip("the environment is laid out as on Unix")
    return Installed(tmp_path_factory.mktemp("installed"), *request.param)


@pytest.mark.parametrize("start", ["checkout", "elsewhere"])
def test_modules_are_found(installed: Installed, start: str) -> None:
    folder: Path = getattr(installed, start)
    told = output([installed.python, "-W", "error", "-c", SCRIPT], folder)
    assert told.split()[1] == "100"


@pytest.mark.parametrize("start", ["checkout", "elsewhere"])
def test_the_program_starts(installed: Installed, start: str) -> None:
    folder: Path = getattr(installed, start)
    assert "train" in output([installed.python.parent / "snnr", "--help"], folder)


def test_a_script_of_the_checkout_finds_everything(installed: Installed) -> None:
    """Python puts the folder of the script first, not the one it was started in."""
    (installed.checkout / "mine.py").write_text(SCRIPT, encoding="utf-8")
    output([installed.python, "-W", "error", "mine.py"], installed.checkout)
    output([installed.python, "-W", "error", installed.checkout / "mine.py"], installed.elsewhere)
