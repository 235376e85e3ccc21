"""A small part of the harness; `python -m tests.trust` is the whole."""

import os

import pytest

from . import faults
from .fuzz import fuzz
from .mutations import mutate
from .samples import FORMATS
from .table import Row, show

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and signals")


def clean(row: Row, tried: int) -> None:
    assert row.failures == [], show([row])
    assert row.count == tried


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files(name: str) -> None:
    row = fuzz(name, 45, seed=2)
    clean(row, 45)
    assert row.outcomes["refused"] > 10


def test_a_full_disk() -> None:
    clean(faults.disk(5), 11)


def test_killed_and_resumed() -> None:
    clean(faults.kills("mnist_fc", 1, seed=0), 1)


def test_two_processes() -> None:
    clean(faults.doubles(1), 1)


def test_mutations_are_the_same_again_and_the_table_shows_failures() -> None:
    content = bytes(range(256)) * 4
    assert mutate("hdf5", content, 1, 5) == mutate("hdf5", content, 1, 5)
    assert mutate("hdf5", content, 1, 5) != mutate("hdf5", content, 1, 6)
    row = Row("something", 3)
    row.tally("fine")
    row.expect(True, "unseen")
    row.expect(False, "it went wrong")
    text = show([row])
    assert "something: it went wrong" in text
    assert "unseen" not in text
