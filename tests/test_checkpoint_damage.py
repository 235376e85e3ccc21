"""Damaged and hostile checkpoints: an error that says what is wrong and where, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr import models, optim

Damage = Callable[[h5py.File], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    net = models.csnn(T=3, input_shape=(1, 8, 8), classes=4, channels=4, seed=2)
    net[0].weight.data[1] = 0
    path = tmp_path_factory.mktemp("sound") / "c.h5"
    history = {"epoch": [1, 2], "silent": {"2_lif": [0.5, 0.25]}}
    snnr.save(path, net, optim.GradR(net.parameters()), history, {"seed": 1}, epoch=2)
    return path.read_bytes()


def replaced(place: str, change: Callable[[Any], Any]) -> Damage:
    """Store a dataset again with other content."""

    def damage(file: h5py.File) -> None:
        value = change(file[place][()])
        del file[place]
        file[place] = value

    return damage


def entry(index: Any, value: Any) -> Callable[[Any], Any]:
    def change(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return change


def attribute(place: str, name: str, value: Any) -> Damage:
    def damage(file: h5py.File) -> None:
        file[place].attrs[name] = value

    return damage


def architecture(change: Callable[[dict[str, Any]], Any]) -> Damage:
    def damage(file: h5py.File) -> None:
        plan = json.loads(file["network"].attrs["architecture"])
        change(plan)
        file["network"].attrs["architecture"] = json.dumps(plan)

    return damage


def settings(layer: int, **values: Any) -> Damage:
    return architecture(lambda plan: plan["layers"][layer]["settings"].update(values))


def removed(place: str) -> Damage:
    def damage(file: h5py.File) -> None:
        del file[place]

    return damage


def link(place: str, target: Any) -> Damage:
    def damage(file: h5py.File) -> None:
        del file[place]
        file[place] = target

    return damage


def stored_elsewhere(file: h5py.File) -> None:
    del file["network/1_batchnorm2d/scale"]
    file["network/1_batchnorm2d"].create_dataset(
        "scale", (4,), np.float32, external=[("other.raw", 0, 16)]
    )


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    del file["network/1_batchnorm2d/scale"]
    file["network/1_batchnorm2d"].create_virtual_dataset("scale", layout)


def huge(file: h5py.File) -> None:
    """A small file that declares 2^60 weights, consistently."""
    plan = json.loads(file["network"].attrs["architecture"])
    side = 1 << 30
    plan["layers"][10]["settings"] = {
        "in_features": side,
        "out_features": side,
        "bias": False,
    }
    file["network"].attrs["architecture"] = json.dumps(plan)
    group = file["network/10_linear/weight"]
    group.attrs["shape"] = [side, side]
    del group["indptr"]
    group.create_dataset("indptr", (side + 1,), np.int32, chunks=(1 << 16,), compression=1)


BN, CONV, THETA = "network/1_batchnorm2d", "network/4_conv2d/weight", "optimizer/4_conv2d/weight"

CASES: dict[str, tuple[Damage, str]] = {
    "not a checkpoint": (attribute("/", "format", "other"), "not an snnr checkpoint"),
    "format missing": (lambda f: f.attrs.pop("format"), "not an snnr checkpoint"),
    "from the future": (attribute("/", "format_version", 3), "format_version is 3, this"),
    "version of text": (attribute("/", "format_version", "1"), "expected int"),
    "negative epoch": (attribute("/", "epoch", -1), "'epoch' of / is -1"),
    "no network": (removed("network"), "/network is missing"),
    "no weight": (removed("network/4_conv2d/weight"), "/network/4_conv2d/weight is missing"),
    "no data": (removed(f"{CONV}/data"), f"/{CONV}/data is missing"),
    "no indices": (removed(f"{CONV}/indices"), f"/{CONV}/indices is missing"),
    "no indptr": (removed(f"{CONV}/indptr"), f"/{CONV}/indptr is missing"),
    "no running mean": (removed(f"{BN}/running_mean"), f"/{BN}/running_mean is missing"),
    "no history": (removed("history"), "/history is missing"),
    "no config": (removed("config"), "/config is missing"),
    "dataset where a group is": (link(BN, 1), "not a group"),
    "NaN weight": (replaced(f"{CONV}/data", entry(3, np.nan)), f"/{CONV}/data has values"),
    "infinite mean": (replaced(f"{BN}/running_mean", entry(0, np.inf)), "running_mean has values"),
    "negative variance": (replaced(f"{BN}/running_var", entry(0, -1)), "has values below 0"),
    "index too large": (replaced(f"{CONV}/indices", entry(-1, 36)), "expected 0..35"),
    "index negative": (replaced(f"{CONV}/indices", entry(0, -1)), "run from -1"),
    "index twice": (replaced(f"{CONV}/indices", entry(1, 0)), "must rise within each row"),
    "indptr falls": (replaced(f"{CONV}/indptr", entry(2, 0)), "indptr must rise"),
    "indptr past the end": (replaced(f"{CONV}/indptr", entry(-1, 140)), f"/{CONV}/data has shape"),
    "indptr of floats": (replaced(f"{CONV}/indptr", lambda a: a.astype(float)), "is float64"),
    "indptr short": (replaced(f"{CONV}/indptr", lambda a: a[:-1]), "indptr has not 5 entries"),
    "data short": (replaced(f"{CONV}/data", lambda a: a[:-1]), f"/{CONV}/data has shape"),
    "data of float64": (replaced(f"{CONV}/data", lambda a: a.astype(float)), "data is float64"),
    "scale of another shape": (replaced(f"{BN}/scale", lambda a: a[:2]), "is not of shape [4]"),
    "shift of another shape": (replaced(f"{BN}/shift", lambda a: a[:2]), "is not of shape [4]"),
    "other shape": (attribute(CONV, "shape", [4, 35]), "is (4, 35), expected (4, 36)"),
    "other kernel": (attribute(CONV, "kernel_shape", [4, 4, 9, 1]), "kernel_shape"),
    "other encoding": (attribute(CONV, "encoding-type", "csc_matrix"), "encoded as 'csc_matrix'"),
    "other type": (attribute(BN, "type", "LIF"), "another type"),
    "unknown layer": (
        architecture(lambda p: p["layers"][2].update(type="Evil", name="2_evil")), "2_evil"
    ),
    "layer name": (architecture(lambda p: p["layers"][2].update(name="../x")), "expected '2_lif'"),
    "no layers": (architecture(lambda p: p.update(layers=[])), "has 0 layers"),
    "huge T": (architecture(lambda p: p.update(T=1 << 40)), "T=1099511627776"),
    "setting unknown": (settings(2, colour="red"), "does not take these settings"),
    "setting of text": (settings(2, tau="two"), "cannot be built"),
    "truth of text": (settings(2, detach_reset="x"), "detach_reset (='x') must be bool"),
    "whole number of truth": (settings(0, stride=True), "stride (=True) must be a whole number"),
    "half a stride": (settings(3, stride=1.5), "stride (='1.5') must be int or None"),
    "huge padding": (settings(0, padding=1 << 40), "padding (=1099511627776) must be"),
    "no number for tau": (settings(2, tau=None), "tau (='None') must be float"),
    "setting out of range": (settings(2, tau=0.5), "tau (=0.5) must be greater"),
    "more channels": (settings(4, out_channels=5), "expected (5, 36)"),
    "no channels": (settings(4, out_channels=0), "out_channels (=0) must be"),
    "no kernel": (settings(4, kernel_size=-3), "kernel_size (=-3) must be"),
    "channels of text": (settings(4, out_channels="4"), "out_channels (='4') must be"),
    "2^60 weights": (huge, "more than allowed"),
    "NaN in JSON": (
        lambda f: f["network"].attrs.modify("architecture", '{"T": NaN, "layers": []}'), "NaN"
    ),
    "broken JSON": (link("config", '{"a": '), "/config is not valid JSON"),
    "deep JSON": (link("config", "[" * 100_000), "/config is not valid JSON"),
    "config not an object": (link("config", "[1]"), "/config must be a JSON object"),
    "config not a string": (link("config", 5), "/config must be one string"),
    "soft link": (link(f"{BN}/scale", h5py.SoftLink("/config")), "is a SoftLink"),
    "external link": (link(BN, h5py.ExternalLink("/etc/other.h5", "/")), "is a ExternalLink"),
    "external storage": (stored_elsewhere, "refers to other files"),
    "virtual dataset": (virtual, "refers to other files"),
    "unknown method": (attribute("optimizer", "method", "magic"), "has method 'magic'"),
    "bad lr": (attribute("optimizer", "lr", -1.0), "lr (=-1.0) must be"),
    "prior of text": (attribute("optimizer", "prior", "x"), "prior (='x') must be"),
    "three betas": (attribute("optimizer", "betas", [0.9, 0.9, 0.9]), "must be 2 numbers"),
    "negative step": (attribute("optimizer", "step", -3), "is -3"),
    "no theta": (removed(f"{THETA}/theta"), f"/{THETA}/theta is missing"),
    "theta of another shape": (
        replaced(f"{THETA}/theta", lambda a: a[:2]), "has shape [2, 4, 3, 3], expected [4, 4, 3, 3]"
    ),
    "NaN theta": (replaced(f"{THETA}/theta", entry(0, np.nan)), "theta has values"),
    "sign zero": (replaced(f"{THETA}/sign", entry(0, 0)), "must be -1 or 1"),
    "sign of floats": (replaced(f"{THETA}/sign", lambda a: a.astype("f4")), "sign is float32"),
    "negative second moment": (
        replaced(f"{THETA}/exp_avg_sq", entry(0, -1)), "exp_avg_sq must not be below 0"
    ),
    "history of unequal length": (replaced("history/epoch", lambda a: a[:1]), "one row per epoch"),
    "history of text": (link("history/epoch", "two"), "one row per epoch"),
    "history with NaN": (replaced("history/silent/2_lif", entry(0, np.nan)), "not finite"),
    "no random state": (link("rng/9_dropout", "{}"), "not the state of random numbers"),
    "random state out of range": (
        link("rng/9_dropout", '{"philox": {"key": -1, "counter": 0}}'),
        "not the state of random numbers",
    ),
    "order of two dimensions": (
        lambda f: f["rng"].create_dataset("order", data=np.zeros((2, 2), int)), "one entry per"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_damage_is_told(sound: bytes, tmp_path: Path, name: str) -> None:
    damage, message = CASES[name]
    path = tmp_path / "c.h5"
    path.write_bytes(sound)
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(snnr.CheckpointError) as caught:
        snnr.load(path)
    text = str(caught.value)
    assert message in text
    assert text.startswith(str(path))
    assert "\n" not in text


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated(sound: bytes, tmp_path: Path, share: float) -> None:
    path = tmp_path / "c.h5"
    path.write_bytes(sound[: int(share * len(sound))])
    with pytest.raises(snnr.CheckpointError, match=r"c\.h5: damaged or not a checkpoint"):
        snnr.load(path)


def test_a_name_that_is_listed_and_not_found(sound: bytes, tmp_path: Path) -> None:
    """The library looks for names by their order, which one changed letter breaks."""
    assert b"optimizer\0" in sound
    (tmp_path / "c.h5").write_bytes(sound.replace(b"optimizer\0", b"zptimizer\0"))
    with pytest.raises(snnr.CheckpointError, match="/zptimizer is listed and is not there"):
        snnr.load(tmp_path / "c.h5")


@pytest.mark.parametrize("kind", ["Datatype", "Dataset"])
def test_a_root_that_is_no_group(tmp_path: Path, kind: str) -> None:
    """The superblock (version 0) has the address of the root at byte 64; here it is another's."""
    path = tmp_path / "own.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["format"] = "snnr-checkpoint"
        file["x_train"] = np.zeros((2, 1, 3, 3), np.uint8)
        file["type"] = np.dtype("i4")
        other = h5py.h5o.get_info(file["type" if kind == "Datatype" else "x_train"].id).addr
    content = bytearray(path.read_bytes())
    assert content[8] == 0
    content[64:72] = other.to_bytes(8, "little")
    content[72:76] = bytes(4)  # nothing of it is known beforehand
    path.write_bytes(content)
    for read in (snnr.load, snnr.data.load):
        with pytest.raises(snnr.SnnrError, match=f"own.h5: .*(is a {kind}, not a group|damaged)"):
            read(path)
    with pytest.raises(snnr.SnnrError, match=f"is a {kind}, not a group"):
        snnr.data.load(path)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(snnr.CheckpointError, match="no such checkpoint"):
        snnr.load(tmp_path / "c.h5")
    (tmp_path / "c.h5").write_text("a text")
    with pytest.raises(snnr.CheckpointError, match="damaged or not a checkpoint"):
        snnr.load(tmp_path / "c.h5")


def test_flipped_bits_are_an_error_or_harmless(sound: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "c.h5"
    caught = 0
    for _ in range(60):
        content = bytearray(sound)
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            snnr.load(path)
        except snnr.CheckpointError:
            caught += 1
    assert caught


def test_big_endian_and_wider_indices_are_read(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    path.write_bytes(sound)
    before = snnr.load(path).network[4].weight.data
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 1  # as another program may write it, without digests
        replaced(f"{CONV}/data", lambda a: a.astype(">f4"))(file)
        replaced(f"{CONV}/indices", lambda a: a.astype(">i8"))(file)
    np.testing.assert_array_equal(snnr.load(path).network[4].weight.data, before)
