"""Generated networks, histories, settings and files: what is saved comes back as it was, and what
is read is what the file says; anything else is an error of snnr."""

import gzip
import math
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import snnr.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import snnr
from snnr import nn
from snnr.input import Samples
from snnr.optim import METHODS

from .samples import IDX, contents

#: the same examples every time; many more of them where there is time
#: examples of the slow tests; thousands take minutes, and are for once in a while
MANY = int(os.environ.get("SNNR_EXAMPLES", "200"))
SOME = [pytest.param(0), pytest.param(1, marks=pytest.mark.slow)]


def holds(check: Callable[..., None], few: int, many: int, strategy: Any, which: int) -> None:
    configured = settings(
        max_examples=many if which else few, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    configured(given(strategy)(check))()


def clean(error: snnr.SnnrError, word: str = "") -> None:
    assert str(error).isprintable()
    assert word in str(error)


# Checkpoints

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)
columns = st.lists(
    st.floats() | st.integers(-(1 << 70), 1 << 70) | st.booleans() | st.none(), max_size=4
) | arrays.arrays(
    st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u8", ">i4", "c8", "?"]),
    st.integers(0, 4),
)  # fmt: skip
histories = st.dictionaries(
    st.text(max_size=5), columns | st.dictionaries(st.text(max_size=5), columns, max_size=3),
    max_size=4,
)  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> nn.Sequential:
    """Layers that follow each other, and that need not fit."""
    number, share = st.integers(1, 4), st.floats(0, 0.9)
    seed = st.integers(0, 9)
    layer = st.one_of(
        st.builds(nn.Linear, number, number, bias=st.booleans(), rng=seed),
        st.builds(nn.Conv2d, number, number, number, stride=number, padding=st.integers(0, 3),
                  bias=st.booleans(), rng=seed),
        st.builds(nn.BatchNorm1d, number, eps=st.floats(1e-9, 1.0), momentum=st.floats(0.01, 1)),
        st.builds(nn.BatchNorm2d, number),
        st.builds(nn.LIF, tau=st.floats(1.1, 1e6), v_threshold=st.floats(0.1, 10),
                  v_reset=st.none() | st.floats(-9, 0),
                  surrogate=st.sampled_from(["atan", "sigmoid"])),
        st.builds(nn.IF), st.builds(nn.Flatten), st.builds(nn.Dropout, share, rng=seed),
        st.builds(nn.MaxPool2d, number), st.builds(nn.AvgPool2d, number),
        st.builds(nn.Voting, number),
    )  # fmt: skip
    some = st.lists(layer, min_size=1, max_size=3)
    inner = some.map(lambda layers: nn.Sequential(*layers))
    layers = draw(st.lists(layer | inner, min_size=1, max_size=5))
    net = nn.Sequential(*layers, T=draw(st.none() | st.integers(1, 255)))
    rng = np.random.default_rng(draw(seed))
    for p in net.parameters():
        values = rng.normal(size=p.shape).astype(np.float32)
        if p.role == "weight":
            values[rng.random(p.shape) < 0.5] = draw(st.sampled_from([0.0, -0.0, 1e-44]))
        p.assign(values)
    return net


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[nn.Sequential, dict[str, Any]]:
    """A network, and the other arguments of `save`."""
    net = draw(networks())
    optimizer = None
    if net.parameters() and draw(st.booleans()):
        method = METHODS[draw(st.sampled_from(sorted(METHODS)))]
        optimizer = method(draw(st.permutations(net.parameters())))
        rng = np.random.default_rng(3)
        for _ in range(draw(st.integers(0, 2))):
            for p in optimizer.params:
                p.grad = rng.normal(size=p.shape).astype(np.float32)
            optimizer.step()
        optimizer.lr = draw(st.just(0.1) | st.floats())
    if draw(st.booleans()):
        return net, {
            "optimizer": optimizer, "history": {"epoch": [1, 2], "silent": {"a": [0.5, 1.0]}},
            "config": {}, "rng_state": {}, "epoch": 2, "accuracy": None, "order": None,
        }  # fmt: skip
    return net, {
        "optimizer": optimizer,
        "history": draw(st.just({}) | histories),
        "config": draw(st.dictionaries(st.text(max_size=9), json, max_size=3)),
        "rng_state": draw(st.dictionaries(st.text(max_size=5), json, max_size=2)),
        "epoch": draw(st.integers(-1, 1 << 64) | st.just(3)),
        "accuracy": draw(st.none() | st.floats(0, 1) | st.floats()),
        "order": draw(st.none() | st.just(np.arange(7)[::-1])),
    }


def _comes_back(case: tuple[nn.Sequential, dict[str, Any]]) -> bool:
    """Whether it could be saved."""
    net, rest = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.h5"
        try:
            snnr.save(path, net, **rest)
        except snnr.CheckpointError as error:
            clean(error)
            assert not list(Path(folder).iterdir())
            return False
        first = snnr.load(path)
        assert [nn.describe(layer) for layer in first.network] == [nn.describe(x) for x in net]
        for mine, its in zip(net.layers(), first.network.layers(), strict=True):
            for array, other in zip(mine.arrays().values(), its.arrays().values(), strict=True):
                assert array.numpy().tobytes() == other.numpy().tobytes()
        assert (first.config, first.epoch, first.accuracy) == (
            rest["config"], rest["epoch"], rest["accuracy"],
        )  # fmt: skip
        for name, column in rest["history"].items():
            if not isinstance(column, dict):
                assert np.array_equal(np.asarray(first.history[name]), np.asarray(column))
        assert (first.optimizer is None) == (rest["optimizer"] is None)
        again = Path(folder) / "again.h5"
        snnr.save(
            again, first.network, first.optimizer, first.history, first.config, first.rng_state,
            first.epoch, first.step, first.accuracy, first.order,
        )  # fmt: skip
        assert contents(snnr.load(again)) == contents(first)
    return True


@pytest.mark.parametrize("which", SOME)
def test_whatever_is_saved_comes_back(which: int) -> None:
    saved = []

    def check(case: tuple[nn.Sequential, dict[str, Any]]) -> None:
        saved.append(_comes_back(case))

    holds(check, 25, MANY, checkpoints(), which)
    assert sum(saved) > len(saved) / 10  # it is not true of refusals only


# Data sets

kinds = st.sampled_from(
    ["u1", "u1", "f4", "f8", "i8", "i4", ">i8", "f2", "?", "c8", "S3", "u8", "<U2", "m8[s]"]
)  # fmt: skip


def images(count: Any) -> Any:
    shape = st.tuples(count, st.integers(0, 3), st.integers(1, 4)) | st.lists(
        st.integers(0, 4), max_size=5
    ).map(tuple)
    return kinds.flatmap(lambda kind: arrays.arrays(kind, shape))


@st.composite
def named_arrays(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Arrays of a data set, most of them as they should be."""
    count = draw(st.integers(1, 5))
    sound = st.tuples(st.just(count), st.just(2), st.just(3))
    kind = draw(st.sampled_from(["u1", "f4"]))
    found = {}
    for part in ("train", "test"):
        found[f"x_{part}"] = draw(arrays.arrays(kind, sound))
        found[f"y_{part}"] = draw(arrays.arrays("i8", count, elements=st.integers(0, 3)))
    if draw(st.booleans()):
        name = draw(st.sampled_from(["mean", "std", "classes"]))
        found[name] = draw(arrays.arrays("f8", st.integers(0, 2)) | arrays.arrays("i4", ()))
    for _ in range(draw(st.integers(0, 1))):
        found[draw(st.sampled_from(sorted(found)))] = draw(images(st.integers(0, 5)))
    return found


def _says_what_the_file_says(path: Path, told: dict[str, np.ndarray]) -> None:
    try:
        found = snnr.data.load(path)
    except snnr.SnnrError as error:
        clean(error, path.name)
        return
    for part in ("train", "test"):
        x, y = getattr(found, f"x_{part}"), getattr(found, f"y_{part}")
        given = told[f"x_{part}"]
        assert x.dtype == (np.uint8 if given.dtype == np.uint8 else np.float32)
        assert np.array_equal(x.ravel(), given.astype(x.dtype).ravel())
        assert np.array_equal(y, told[f"y_{part}"].astype(np.int64))
        assert x.ndim == 4
        assert 0 <= y.min() <= y.max() < found.classes
    assert all(map(math.isfinite, (*found.mean, *found.std)))
    assert min(found.std) > 0
    batch = Samples.of(found, False, "cpu").train.batch([0])
    assert np.isfinite(batch.numpy()).all()


def _npz(case: tuple[dict[str, np.ndarray], bool]) -> None:
    told, packed = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.npz"
        (np.savez_compressed if packed else np.savez)(path, **told)  # type: ignore[operator]
        _says_what_the_file_says(path, told)
        with zipfile.ZipFile(path) as archive:
            assert len(archive.namelist()) == len(told)


def _hdf5(case: tuple[dict[str, np.ndarray], Any]) -> None:
    told, (compression, shuffle, checksum, chunked) = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.h5"
        with h5py.File(path, "w") as file:
            for name, values in told.items():
                options: dict[str, Any] = {}
                if chunked and values.size and values.ndim:
                    options = {
                        "chunks": tuple(max(1, n // 2) for n in values.shape),
                        "compression": compression, "shuffle": shuffle, "fletcher32": checksum,
                    }  # fmt: skip
                try:
                    file.create_dataset(name, data=values, **options)
                except (TypeError, ValueError):  # what HDF5 does not hold is left out
                    return
        _says_what_the_file_says(path, told)


def _idx(case: tuple[bytes, bytes, bytes, bool]) -> None:
    magic, sizes, body, packed = case
    content = magic + sizes + body
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        sound = {"x_train": (6, 3, 4), "y_train": (6,), "x_test": (3, 3, 4), "y_test": (3,)}
        for role, shape in sound.items():
            whole = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
            whole += bytes(math.prod(shape))
            mine = content if role == "x_train" else whole
            (folder / f"{role}.gz").write_bytes(gzip.compress(mine) if packed else mine)
        try:
            found = snnr.data.load(IDX, folder)
        except snnr.SnnrError as error:
            clean(error)
            return
        assert (magic, sizes) == (b"\0\0\x08\x03", struct.pack(">3I", 6, 3, 4))
        assert found.x_train.tobytes() == body


PARTS = {
    "npz": (_npz, st.tuples(named_arrays(), st.booleans())),
    "hdf5": (
        _hdf5,
        st.tuples(
            named_arrays(),
            st.tuples(st.sampled_from([None, "gzip", "lzf"]), *[st.booleans()] * 3),
        ),
    ),
    "idx": (
        _idx,
        st.tuples(
            st.just(b"\0\0\x08\x03") | st.binary(min_size=0, max_size=4),
            st.just(struct.pack(">3I", 6, 3, 4)) | st.binary(max_size=12),
            st.binary(min_size=70, max_size=74) | st.just(bytes(72)),
            st.booleans(),
        ),
    ),
}


@pytest.mark.parametrize("which", SOME)
@pytest.mark.parametrize("name", PARTS)
def test_a_data_set_says_what_its_file_says_or_is_refused(name: str, which: int) -> None:
    check, strategy = PARTS[name]
    holds(check, 30, MANY, strategy, which)
