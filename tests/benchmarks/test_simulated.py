"""snnr's side of the benchmarks on a card, in Numba's simulator."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")
pytestmark = pytest.mark.slow  # three trainings in the simulator; tests/cuda has quicker ones


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    here = Path(__file__).resolve()
    benchmarks = str(here.parents[2] / "benchmarks")
    done = subprocess.run(
        [sys.executable, str(here.with_name("simulated.py")),
         str(tmp_path_factory.mktemp("work"))],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": benchmarks},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_steps_are_those_of_the_cpu(told: Any) -> None:
    """Plain, recorded and replayed ones, and one that is looked at afterwards."""
    card, host = told["records"]["cuda"], told["records"]["cpu"]
    assert card["losses"] == pytest.approx(host["losses"], rel=1e-5)
    for when in ("first", "last"):
        mine, right = card[when], host[when]
        assert mine["loss"] == pytest.approx(right["loss"], rel=1e-5)
        assert mine["spikes"] == right["spikes"]
        assert mine["inputs"] == right["inputs"]
        assert all(0 < share < 1 for share in right["spikes"].values())
        for kind in ("grads", "weights"):
            assert mine[kind].keys() == right[kind].keys()
            for name, values in right[kind].items():
                assert mine[kind][name] == pytest.approx(values, rel=1e-4, abs=1e-6)
    assert card["peak"] == card["reserved"] > 0
    assert "snnr.training's step" in told["records"]["kind"]


def test_launches_and_replays_are_counted(told: Any) -> None:
    found = told["launches"]
    names = [one["kernel"] for one in found["kernels"]]
    assert found["launches"] == sum(one["launches"] for one in found["kernels"]) > 10
    assert any("optim" in name for name in names)
    assert any("neuron" in name for name in names)
    assert found["recordings"] == 1
    assert found["replayed"] == 2
    assert found["replay_us"] > 0
    assert found["step_us"] >= found["host_us"] > 0


def test_lif_alone(told: Any) -> None:
    assert told["lif"] == []
    assert told["copy"] > 0
