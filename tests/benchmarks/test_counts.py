"""What snnr counts is what NeuroBench's own code counted on the same networks and inputs."""

import json
from pathlib import Path

import counts
import pytest

#: made by ``python benchmarks/counts.py --peer-python ... --json ...`` with neurobench 2.3.0
FIXTURE = Path(__file__).parents[1] / "fixtures" / "neurobench.json"


@pytest.mark.parametrize("case", counts.CASES)
def test_counts_are_equal_to_the_digit(case: str) -> None:
    assert counts.ours(case) == json.loads(FIXTURE.read_text())[case]
