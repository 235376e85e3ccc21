"""Every kernel that the paper's networks launch is compiled for cards that are not here."""

import re
from pathlib import Path

import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from ..kernels.harness import SIMULATED
from .compile import TARGETS, assemble, find_ptxas, ptx
from .paper import Launched
from .trained import TRAININGS, launches

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")
TABLE = Path(__file__).parents[2] / "docs" / "cuda-kernels.md"


@pytest.fixture(scope="module")
def found() -> dict[Launched, str]:
    return launches()


@pytest.mark.parametrize("network", TRAININGS)
def test_kernels_compile_and_stay_in_registers(found: dict[Launched, str], network: str) -> None:
    ptxas = find_ptxas()
    mine = [one for one, name in found.items() if name == network]
    assert len(mine) > 5
    for one in mine:
        for target in TARGETS:
            text = ptx(one, target)
            assert f".target sm_{target[0]}{target[1]}" in text
            assert ".local" not in text, one.kernel
            if ptxas is not None and target == TARGETS[-1]:
                taken = assemble(text, target, ptxas)
                assert taken.spilled == 0, one.kernel
                # a block has to fit: 64 Ki registers, handed out in eights to a thread
                assert -(-taken.registers // 8) * 8 * one.threads <= 1 << 16, one.kernel
                assert taken.shared <= 48 << 10, one.kernel


def test_the_table_has_every_kernel(found: dict[Launched, str]) -> None:
    told = set(re.findall(r"^\| (\S+\.\S+) \|", TABLE.read_text(), re.MULTILINE))
    assert told == {one.kernel.name for one in found}
