"""Checkpoints: the layout, every bit back, and writing that is all or nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.sparse import csr_matrix

import snnr
from snnr import functional as F
from snnr import models, nn, optim
from snnr.checkpoint import file


def fully_connected() -> nn.Sequential:
    return models.mnist_fc(T=3, input_shape=(1, 8, 8), classes=4, hidden=30, seed=1)


def convolutional() -> nn.Sequential:
    return models.csnn(T=3, input_shape=(1, 8, 8), classes=4, channels=6, seed=2)


def trained(net: nn.Sequential, method: type[optim.Optimizer] = optim.GradR) -> optim.Optimizer:
    """An optimizer that made two steps of noise."""
    rng = np.random.default_rng(3)
    kind = {"prior": 0.5} if method is optim.GradR else {}
    optimizer = method(net.parameters(), lr=0.01, **kind)
    for _ in range(2):
        for p in net.parameters():
            p.grad = rng.normal(size=p.shape).astype(np.float32)
        optimizer.step()
    return optimizer


def output(net: nn.Sequential, images: int = 6) -> np.ndarray:
    x = np.random.default_rng(4).normal(size=(images, 1, 8, 8)).astype(np.float32)
    net.eval()
    with snnr.no_grad():
        return F.mean_time(net(x)).data


@pytest.mark.parametrize("make", [fully_connected, convolutional])
@pytest.mark.parametrize("method", list(optim.METHODS.values()))
def test_everything_comes_back_bit_for_bit(
    tmp_path: Path, make: Callable[[], nn.Sequential], method: type[optim.Optimizer]
) -> None:
    net = make()
    optimizer = trained(net, method)
    for layer in net:
        for buffer in layer.buffers().values():
            buffer.data += 0.25
    path = snnr.save(tmp_path / "c.h5", net, optimizer, epoch=3, accuracy=0.5, config={"a": [1]})
    found = snnr.load(path)
    assert (found.epoch, found.step, found.accuracy, found.config) == (3, 2, 0.5, {"a": [1]})
    assert found.optimizer is not None
    assert found.optimizer.settings == optimizer.settings
    assert found.optimizer.step_count == 2
    assert found.optimizer.connectivity() == pytest.approx(snnr.metrics.connectivity(net))
    for p, q in zip(net.parameters(), found.network.parameters(), strict=True):
        assert (p.name, p.role, p.data.strides) == (q.name, q.role, q.data.strides)
        assert p.data.tobytes() == q.data.tobytes()
        mine, again = optimizer.state[p], found.optimizer.state[q]
        assert (list(mine.kept), mine.steps) == (list(again.kept), again.steps)
        for name in mine.kept:
            here, there = mine.numpy(name), again.numpy(name)
            assert (here.dtype, here.strides) == (there.dtype, there.strides)
            assert here.tobytes() == there.tobytes()
    for a, b in zip(net, found.network, strict=True):
        assert a.settings() == b.settings()
        for name, buffer in a.buffers().items():
            assert buffer.data.tobytes() == b.buffers()[name].data.tobytes()
    assert output(net).tobytes() == output(found.network).tobytes()


def test_a_negative_zero_survives(tmp_path: Path) -> None:
    net = fully_connected()
    net[1].weight.data[2, 3] = -0.0
    net[1].weight.data[2, 4] = 0.0
    again = snnr.load(snnr.save(tmp_path / "c.h5", net)).network[1].weight.data
    assert np.signbit(again[2, 3])
    assert not np.signbit(again[2, 4])


def test_weights_read_with_h5py_and_scipy_give_the_network_output(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(12, 7, rng=0), nn.LIF(tau=3.0, v_reset=-0.5), T=5)
    net[0].weight.data[np.random.default_rng(0).random((7, 12)) < 0.7] = 0
    x = np.random.default_rng(1).normal(size=(9, 12)).astype(np.float32) * 20
    with h5py.File(snnr.save(tmp_path / "c.h5", net)) as file:
        layer = file["network/0_linear"]
        group = layer["weight"]
        assert group.attrs["encoding-type"] == "csr_matrix"
        assert group.attrs["encoding-version"] == "0.1.0"
        matrix = csr_matrix(
            (group["data"][()], group["indices"][()], group["indptr"][()]),
            shape=group.attrs["shape"],
        )
        assert matrix.nnz == np.count_nonzero(net[0].weight.data)
        current = (matrix @ x.T).T + layer["bias"][()]
        attrs = dict(file["network/1_lif"].attrs)
    assert (attrs["type"], attrs["tau"], attrs["v_reset"]) == ("LIF", 3.0, -0.5)
    assert (attrs["surrogate"], attrs["alpha"]) == ("atan", 2.0)
    v = np.full(current.shape, attrs["v_reset"])
    spikes = net(x).data
    for s in spikes:
        h = v + (current - (v - attrs["v_reset"])) / attrs["tau"]
        np.testing.assert_array_equal(s, h >= attrs["v_threshold"])
        v = np.where(s, attrs["v_reset"], h)
    assert spikes.any()


def test_layout_is_the_documented_one(tmp_path: Path) -> None:
    net = convolutional()
    history = {"epoch": [1, 2], "test_accuracy": [0.5, 0.75], "silent": {"2_lif": [0.5, 0.25]}}
    path = snnr.save(
        tmp_path / "c.h5", net, trained(net), history, {"seed": 1}, {"trainer": {"a": 1}}, epoch=2
    )
    with h5py.File(path) as file:
        assert file.attrs["format"] == "snnr-checkpoint"
        assert file.attrs["format_version"] == 2
        assert file.attrs["snnr_version"] == snnr.__version__
        assert file.attrs["created"].endswith("+00:00")
        assert (file.attrs["epoch"], file.attrs["step"]) == (2, 2)
        assert "accuracy" not in file.attrs
        assert json.loads(file["config"][()]) == {"seed": 1}
        plan = json.loads(file["network"].attrs["architecture"])
        assert [layer["name"] for layer in plan["layers"]][:3] == [
            "0_conv2d", "1_batchnorm2d", "2_lif",
        ]  # fmt: skip
        conv = file["network/4_conv2d/weight"]
        assert tuple(conv.attrs["kernel_shape"]) == (6, 6, 3, 3)
        assert tuple(conv.attrs["shape"]) == (6, 54)
        dense = csr_matrix((conv["data"], conv["indices"], conv["indptr"]), conv.attrs["shape"])
        np.testing.assert_array_equal(dense.toarray().reshape(6, 6, 3, 3), net[4].weight.data)
        assert set(file["network/1_batchnorm2d"]) == {
            "scale", "shift", "running_mean", "running_var",
        }  # fmt: skip
        theta = file["optimizer/4_conv2d/weight/theta"]
        assert theta.shape == (6, 6, 3, 3)
        assert file["optimizer/4_conv2d/weight/sign"].dtype == np.int8
        for group in (file["optimizer"], file["optimizer/4_conv2d/weight"]):
            assert group.attrs["method"] == "grad-r"
            assert (group.attrs["prior"], group.attrs["step"]) == (0.5, 2)
            assert tuple(group.attrs["betas"]) == (0.9, 0.999)
        assert file["history/test_accuracy"][:].tolist() == [0.5, 0.75]
        assert file["history/silent/2_lif"][:].tolist() == [0.5, 0.25]
        assert set(file["rng"]) == {"9_dropout", "trainer"}
        large = file["optimizer/10_linear/weight/theta"]
        assert large.chunks is not None
        assert large.shuffle
        assert large.fletcher32
        assert large.compression == "gzip"


def test_dropout_draws_go_on(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(6, 5, rng=0), nn.Dropout(0.5, rng=3))
    x = np.ones((4, 6), np.float32)
    net(x)
    found = snnr.load(snnr.save(tmp_path / "c.h5", net)).network
    assert not found.training
    found.train()
    for _ in range(3):
        np.testing.assert_array_equal(net(x).data, found(x).data)


def test_without_optimizer(tmp_path: Path) -> None:
    net = fully_connected()
    path = snnr.save(tmp_path / "c.h5", net, trained(net))
    assert snnr.load(path, with_optimizer=False).optimizer is None
    assert snnr.load(snnr.save(path, net)).optimizer is None


def test_ctrl_c_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = fully_connected()
    path = snnr.save(tmp_path / "c.h5", net, epoch=1)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(file.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        snnr.save(path, net, epoch=2)
    assert os.listdir(tmp_path) == ["c.h5"]
    assert snnr.load(path).epoch == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_saved(tmp_path: Path, value: float) -> None:
    net = fully_connected()
    path = snnr.save(tmp_path / "c.h5", net, epoch=1)
    net[3].weight.data[1, 2] = value
    with pytest.raises(snnr.CheckpointError, match=r"3_linear\.weight has values that are not fin"):
        snnr.save(path, net, epoch=2)
    assert snnr.load(path).epoch == 1


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    net = fully_connected()
    with pytest.raises(snnr.CheckpointError, match="config cannot be saved as JSON"):
        snnr.save(tmp_path / "c.h5", net, config={"a": object()})
    with pytest.raises(snnr.CheckpointError, match="cannot be written"):
        snnr.save(tmp_path / "none" / "c.h5", net)
    optimizer = optim.GradR(net.parameters())
    optimizer.rng = np.random.Generator(np.random.MT19937(0))
    with pytest.raises(snnr.CheckpointError, match="optimizer draws from MT19937"):
        snnr.save(tmp_path / "c.h5", net, optimizer)
    net = fully_connected()
    stranger = nn.Linear(3, 2, rng=0)
    with pytest.raises(snnr.CheckpointError, match="belongs to no layer"):
        snnr.save(tmp_path / "c.h5", net, optim.Adam(stranger.parameters()))
    assert os.listdir(tmp_path) == []
