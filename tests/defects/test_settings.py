"""Settings out of their bounds are refused where they are given, by constructors and in files."""

import json
import math
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import snnr.data
from snnr.data import Dataset

import snnr
from snnr import nn, optim
from snnr.nn.checks import MAX_PADDING, MAX_STRIDE, MAX_TIMESTEPS
from snnr.training import Trainer


def conv(**settings: Any) -> nn.Conv2d:
    return nn.Conv2d(1, 1, 3, rng=0, **settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: conv(padding=10**9), r"Conv2d: padding \(=1000000000\) .* from 0 to 64"),
        (lambda: conv(padding=-1), r"padding \(=-1\)"),
        (lambda: conv(stride=10**9), r"Conv2d: stride \(=1000000000\) .* from 1 to 1024"),
        (lambda: nn.MaxPool2d(2, stride=0), r"MaxPool2d: stride \(=0\)"),
        (lambda: nn.MaxPool2d(2, stride=-1), r"MaxPool2d: stride \(=-1\)"),
        (lambda: nn.AvgPool2d(2, stride=10**9), r"AvgPool2d: stride \(=1000000000\)"),
        (lambda: nn.MaxPool2d(16), r"kernel_size \(=16\) .* from 1 to 15"),
        (lambda: nn.IF(T=0), r"IF: T \(=0\) .* from 1 to 65536"),
        (lambda: nn.LIF(T=MAX_TIMESTEPS + 1), r"LIF: T \(=65537\)"),
        (lambda: nn.Sequential(nn.IF(), T="8"), r"Sequential: T \(='8'\)"),  # type: ignore[arg-type]
        (lambda: nn.IF(v_threshold=math.nan), r"IF: v_threshold \(=nan\) must be a number from"),
        (lambda: nn.IF(v_reset=-math.inf), r"v_reset \(=-inf\)"),
        (lambda: nn.LIF(tau="2"), r"LIF: tau \(='2'\)"),  # type: ignore[arg-type]
        (lambda: nn.LIF(tau=1e300), "tau"),
        (lambda: nn.IF(surrogate=snnr.surrogate.ATan(1e300)), r"alpha \(=1e\+300\)"),
        (lambda: nn.BatchNorm1d(2, eps=math.inf), r"BatchNorm1d: eps \(=inf\)"),
        (lambda: nn.Dropout("x"), r"Dropout: p \(='x'\)"),  # type: ignore[arg-type]
    ],
)
def test_a_layer_says_what_it_expects(make: Callable[[], nn.Layer], message: str) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        make()


def test_the_bounds_themselves_and_numbers_of_numpy_are_fine(tmp_path: Path) -> None:
    layer = nn.Conv2d(
        np.int64(1), 1, 3, stride=np.int64(MAX_STRIDE), padding=np.int32(MAX_PADDING), rng=0
    )  # type: ignore[arg-type]
    net = nn.Sequential(layer, nn.LIF(tau=np.float32(2.5)), T=np.int64(2))  # type: ignore[arg-type]
    optimizer = optim.GradR(net.parameters(), lr=np.float32(0.5), betas=[np.float64(0.5), 0.75])  # type: ignore[arg-type]
    assert net(np.zeros((1, 1, 4, 4), np.float32)).shape == (2, 1, 1, 1, 1)
    found = snnr.load(snnr.save(tmp_path / "c.h5", net, optimizer))
    assert found.optimizer is not None
    assert (found.optimizer.lr, found.optimizer.betas) == (0.5, (0.5, 0.75))
    assert found.network[1].settings()["tau"] == 2.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 1e39}, r"lr \(=1e\+39\) must be a finite number, at least 0, at most 1e\+38"),
        ({"prior": 1e300}, r"prior \(=1e\+300\) must be .* at most 1e\+15"),
        (
            {"prior": 1e-300},
            r"prior \(=1e-300\) must be 0, which switches it off, or at least 1e-30",
        ),
        ({"eps": 1e-300}, r"eps \(=1e-300\) must be .* at least 1e-30"),
        ({"betas": [0.9, 0.99, 0.999]}, r"betas \(=.*\) must be 2 numbers"),
        ({"betas": 0.9}, r"betas \(=0.9\) must be 2 numbers"),
        ({"form": []}, r"form \(=\(\)\) must be one of adam, sgd"),
    ],
)
def test_an_optimizer_says_what_it_expects(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        optim.GradR(nn.Linear(2, 2, rng=0).parameters(), **settings)


def test_settings_at_the_bounds_keep_theta_finite() -> None:
    for prior in (0, 1e-30, 1e15):
        layer = nn.Linear(4, 4, rng=0)
        optimizer = optim.GradR(layer.parameters(), lr=1e-3, prior=prior, sparsity=1 - 1e-16)
        for _ in range(3):
            layer.weight.grad = np.ones((4, 4), np.float32)
            optimizer.step()
        assert np.isfinite(optimizer.state[layer.weight].theta).all()


def tampered(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the architecture of a checkpoint as somebody would who knows the format."""
    with h5py.File(path, "r+") as file:
        plan = json.loads(file["network"].attrs["architecture"])
        change(plan)
        file["network"].attrs["architecture"] = json.dumps(plan)


@pytest.mark.parametrize(
    ("index", "name", "value"),
    [(0, "padding", 10**9), (0, "stride", 10**9), (1, "stride", 0), (1, "stride", -1),
     (1, "kernel_size", 16), (2, "tau", 1e300), (2, "T", 1 << 17)],
)  # fmt: skip
def test_a_file_with_such_a_setting_is_refused(
    tmp_path: Path, index: int, name: str, value: Any
) -> None:
    net = nn.Sequential(conv(), nn.MaxPool2d(2), nn.LIF(), T=2)
    path = snnr.save(tmp_path / "c.h5", net)
    tampered(path, lambda plan: plan["layers"][index]["settings"].update({name: value}))
    with pytest.raises(snnr.CheckpointError, match=rf"{name} ?\(?="):
        snnr.load(path)


def test_a_mistake_in_an_optimizer_is_not_called_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nn.Sequential(nn.Linear(2, 2, rng=0), nn.IF(), T=2)
    path = snnr.save(tmp_path / "c.h5", net, optim.Adam(net.parameters()))

    def broken(*_: Any, **__: Any) -> None:
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(optim.Adam, "__init__", broken)
    with pytest.raises(TypeError, match="a mistake of ours"):
        snnr.load(path)


@pytest.mark.parametrize("augment", [[1], {"a": 1}, "sideways", 3])
def test_a_training_of_an_unknown_kind_of_moves_is_refused(
    tiny: Dataset, tmp_path: Path, augment: Any
) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4, rng=0), nn.LIF(), T=2)
    path = tmp_path / "c.h5"
    run = Trainer(net, optim.Adam(net.parameters()), tiny, 50, 1, checkpoint=path)
    run.fit()
    run.config["augment"] = augment
    run.save()
    with pytest.raises(snnr.SnnrError, match="augment"):
        Trainer.resume(path, tiny, epochs=2)


def test_a_chunk_that_is_longer_than_its_shape_says_stays_in_its_buffer(tmp_path: Path) -> None:
    """HDF5 tells how much room a chunk without filters needs by its shape, and fills in what the
    index says."""
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    path = tmp_path / "own.h5"
    with h5py.File(path, "w") as file:
        for name in ("x_train", "x_test"):
            plain = {"compression": 0, "fletcher32": True, "chunks": images.shape}
            file.create_dataset(name, data=images, **plain)  # 15 bytes more than the images
        for name in ("y_train", "y_test"):
            file[name] = np.arange(20, dtype=np.uint8) % 2
    content = path.read_bytes()
    # the message of the filters: type 11, size, flags, version 1, how many
    cut, found = re.subn(
        rb"(\x0b\x00.{2}.\x00{3}\x01)\x02(?=\x00{6})",
        lambda found: found[1] + b"\0",
        content,
        flags=re.S,
    )
    assert found == 2
    path.write_bytes(cut)
    script = (
        "import sys, snnr.data\n"
        "try: snnr.data.load(sys.argv[1])\n"
        "except snnr.DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, timeout=120,
        cwd=tmp_path, env=os.environ | {"PYTHONMALLOC": "debug"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "expected 1280" in done.stdout


def test_chunks_of_another_rank_than_the_shape_are_refused(tmp_path: Path) -> None:
    """A byte of the shape's rank changed; it was an error of Python's own."""
    path = tmp_path / "own.h5"
    labels = np.zeros(6, np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("x_train", data=np.zeros((6, 3, 4), np.uint8), compression="gzip")
        file["x_test"] = np.zeros((6, 3, 5), np.uint8)
        file["y_train"] = file["y_test"] = labels
    content = path.read_bytes()
    space = struct.pack("<BBB5xQQQ", 1, 3, 1, 6, 3, 4)
    assert content.count(space) == 1
    path.write_bytes(content.replace(space, bytes([1, 2, 0]) + space[3:]))
    with pytest.raises(snnr.DataError, match=r"/x_train has chunks of \(6, 3, 4\)"):
        snnr.data.load(path)


@pytest.mark.parametrize("value", [np.zeros((2, 2), "u1"), np.zeros(500, "i8"), np.array(0)])
def test_a_number_of_classes_that_is_none_is_told_in_one_line(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "own.npz"
    images, labels = np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.uint8)
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels, classes=value)
    with pytest.raises(snnr.DataError, match=r"classes \(=.{1,80}\) must be one") as caught:
        snnr.data.load(path)
    assert str(caught.value).isprintable()


def test_a_name_that_a_terminal_would_obey_is_written_out(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(1, 1, rng=0))
    with pytest.raises(snnr.CheckpointError, match="cannot name a layer") as caught:
        snnr.save(tmp_path / "c.h5", net, history={"\x7f": {"": []}})
    assert str(caught.value).isprintable()
