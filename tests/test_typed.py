"""Types reach who installs the package: mypy, run on a script beside an installed wheel."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from .test_packaging import wheel  # noqa: F401

SCRIPT = """
import numpy as np
import snnr
from snnr import functional as F

net = snnr.models.mnist_fc(T=2)
optimizer = snnr.optim.GradR(net.parameters(), lr=1e-3)
rate = net(np.zeros((1, 1, 28, 28), np.float32)).mean(axis=0)
loss = ((rate - snnr.Tensor(F.one_hot([3], 10))) ** 2).mean() / 2
loss.backward()
reveal_type(loss)
reveal_type(net)
reveal_type(optimizer.connectivity())
reveal_type(snnr.data.load("mnist"))
reveal_type(rate[:, 3].item())
net.parameters(3)
snnr.nn.Conv2D(1, 2)
snnr.Trainr
rate + "a"
"""


@pytest.mark.slow
def test_mypy_sees_types(wheel: zipfile.ZipFile, tmp_path: Path) -> None:  # noqa: F811
    assert "snnr/py.typed" in wheel.namelist()
    pytest.importorskip("mypy")
    # an environment that has the wheel and, by a link, what this one has
    venv.create(tmp_path / "env", symlinks=True)
    paths = {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
    place = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    wheel.extractall(place)
    numpy = Path(__import__("numpy").__file__).parents[1]
    (place / "others.pth").write_text(f"{numpy}\n")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", str(tmp_path / "env/bin/python"),
         "--cache-dir", str(tmp_path / "cache"), "--config-file=", "--show-error-codes",
         str(script)],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    told = done.stdout
    for revealed in (
        '"snnr.tensor.tensor.Tensor"', '"snnr.nn.sequential.Sequential"', '"float"',
        '"snnr.data.dataset.Dataset"',
    ):  # fmt: skip
        assert f"Revealed type is {revealed}" in told, told
    wrong = [line for line in told.splitlines() if ": error:" in line]
    assert [line.rpartition("[")[2].rstrip("]") for line in wrong] == [
        "call-arg", "attr-defined", "attr-defined", "operator",
    ], told  # fmt: skip
