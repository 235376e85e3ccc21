"""Files that turn in circles, and states of generators that no generator has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr import nn
from snnr.checkpoint.layout import generator_state, restore_generator


def itself(file: h5py.File) -> None:
    file["network/again"] = file["network"]


def a_weight_twice(file: h5py.File) -> None:
    file["network/again"] = file["network/0_linear/weight/data"]


def deep(file: h5py.File) -> None:
    file.create_group("network/" + "/".join("abcdefghi"))


@pytest.mark.parametrize("change", [itself, a_weight_twice, deep])
def test_no_object_is_followed_twice_or_without_end(
    change: Callable[[h5py.File], None], tmp_path: Path
) -> None:
    net = nn.Sequential(nn.Linear(3, 2, rng=0), nn.LIF(), T=1, device="reference")
    path = snnr.save(tmp_path / "c.h5", net)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(snnr.CheckpointError, match="is stored twice, too deep, or one of too many"):
        snnr.load(path, device="reference")


def changed(before: dict[str, Any], /, **inner: Any) -> dict[str, Any]:
    return {**before, "state": {**before["state"], **inner}}


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.PCG64DXSM])
def test_states_of_generators_are_within_their_bounds(kind: Any) -> None:
    rng = np.random.Generator(kind(3))
    rng.integers(0, 5, 3, np.uint32)
    state = generator_state(rng, "the test")
    assert state["has_uint32"] == 1
    expected = rng.random(4)
    for fine in (
        state,
        changed(state, state=2**128 - 1, inc=2**128 - 1),
        changed(state, state=0, inc=1),
        {**state, "has_uint32": 0, "uinteger": 0},
        {**state, "uinteger": 2**32 - 1},
    ):
        restore_generator(np.random.Generator(kind(0)), fine, "here")
    for wrong in (
        None,
        {},
        changed(state, state=2**128),
        changed(state, inc=2**128 + 1),
        changed(state, state=-1),
        changed(state, inc=2),
        changed(state, inc="x"),
        {**state, "has_uint32": 2},
        {**state, "uinteger": 2**32},
        {**state, "uinteger": -1},
        {**state, "bit_generator": "MT19937"},
        {key: value for key, value in state.items() if key != "uinteger"},
    ):
        other = np.random.Generator(kind(0))
        before = other.bit_generator.state
        with pytest.raises(snnr.CheckpointError, match=r"^here: not the state of a generator"):
            restore_generator(other, wrong, "here")
        assert other.bit_generator.state == before
    again = np.random.Generator(kind(0))
    restore_generator(again, state, "here")
    np.testing.assert_array_equal(again.random(4), expected)


def test_a_generator_that_no_file_keeps_is_refused() -> None:
    with pytest.raises(snnr.CheckpointError, match="the test draws from MT19937"):
        generator_state(np.random.Generator(np.random.MT19937(0)), "the test")
