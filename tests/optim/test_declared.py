"""What every method declares: the bounds of its settings, and of what it keeps in a file."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr import nn, optim

NAN, INF = float("nan"), float("inf")
#: setting -> values at the bounds, and values beyond them
BOUNDS: dict[str, tuple[list[Any], list[Any]]] = {
    "lr": ([0, 1e38], [-1e-9, 1.1e38, NAN, INF]),
    "betas": (
        [(0, 0), (0.999999, 0.999999)],
        [(-1e-9, 0.9), (0.9, -1e-9), (1, 0.9), (0.9, 1), (0.9,), 0.9],
    ),
    "eps": ([1e-30, 1e30], [0, 0.9e-30, 1.1e30]),
    "prior": ([0, 1e15], [-1e-9, 1.1e15]),
    "l1": ([0, 1e15], [-1e-9, 1.1e15]),
    "temperature": ([0, 1e15], [-1e-9, 1.1e15]),
    "threshold": ([0, 1e15], [-1e-9, 1.1e15]),
    "steps": ([0, 2**53], [-1, 2**53 + 1, 0.5]),
    "every": ([1, 10**9], [0, 1.5]),
    "rounds": ([1, 10**9], [0, 1.5]),
    "stop": ([0, 1], [-1e-9, 1.0001]),
    "drop": ([0, 1], [-1e-9, 1.0001]),
    "rewind": ([0, 0.9999], [-1e-9, 1]),
    "target_connectivity": ([1e-9, 1], [-1e-9, 1.0001]),
}
#: where the share of zeros may be anything, and where it is at least half
SPARSITY = {"soft-deep-r": ([0, 0.9999], [-1e-9, 1]), "grad-r": ([0.5, 0.9999], [0.4999, 1])}


def bounds(method: str, name: str) -> tuple[list[Any], list[Any]] | None:
    return SPARSITY[method] if name == "sparsity" else BOUNDS.get(name)


@pytest.mark.parametrize("method", optim.METHODS)
def test_settings_reach_their_bounds_and_no_further(method: str) -> None:
    record = optim.METHODS[method].SETTINGS
    for one in fields(record):
        found = bounds(method, one.name)
        if found is None:
            assert one.metadata["choices"] or one.name in ("begin_share", "end_share")
            continue
        inside, outside = found
        for value in inside:
            record(**{one.name: value})
        for value in outside:
            with pytest.raises(snnr.ConfigError, match=rf"^{one.name} \(="):
                record(**{one.name: value})


def test_a_prune_schedule_lies_within_the_training() -> None:
    kind: Any = optim.METHODS["magnitude"]
    kind.SETTINGS(begin_share=0, end_share=1)
    for wrong in ({"begin_share": -1e-9}, {"end_share": 1.0001}):
        with pytest.raises(snnr.ConfigError, match=rf"^{next(iter(wrong))} \(="):
            kind.SETTINGS(**wrong)


@pytest.mark.parametrize("method", optim.METHODS)
def test_a_file_keeps_to_what_is_declared(method: str, tmp_path: Path) -> None:
    kind: Any = optim.METHODS[method]
    wrong = {"sign": (-2, 0, 2), "exp_avg_sq": (-1e-30,)}
    net = nn.Sequential(nn.Linear(3, 2, bias=False, rng=0), nn.LIF(), T=1, device="reference")
    path = snnr.save(tmp_path / "c.h5", net, kind(net.parameters()))
    declared = {*kind.MOMENTS, *kind.WEIGHT_STATE}
    assert ("sign" in declared) == (method in ("grad-r", "deep-r", "soft-deep-r"))
    snnr.load(path, device="reference")
    for name in declared & set(wrong):
        for value in wrong[name]:
            damaged = tmp_path / "d.h5"
            damaged.write_bytes(path.read_bytes())
            with h5py.File(damaged, "r+") as file:
                array = file[f"optimizer/0_linear/weight/{name}"]
                array[0, 0] = np.array(value, array.dtype)
            with pytest.raises(snnr.CheckpointError, match=f"{name} must"):
                snnr.load(damaged, device="reference")
