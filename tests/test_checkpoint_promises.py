"""What is saved can be loaded, what was changed is noticed, and a tiny file asks for little."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr import nn, optim
from snnr.checkpoint import Checkpoint

FIXTURE = Path(__file__).parent / "fixtures" / "checkpoint_v1.h5"


def network(T: int | None = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, 5, rng=0), nn.BatchNorm1d(5), nn.LIF(), nn.Dropout(rng=1), T=T
    )


def content(found: Checkpoint) -> list[Any]:
    """Everything a checkpoint says, comparable."""
    arrays = [p.data.tobytes() for p in found.network.parameters()]
    arrays += [b.data.tobytes() for layer in found.network for b in layer.buffers().values()]
    assert found.optimizer is not None
    for p in found.optimizer.params:
        state = found.optimizer.state[p]
        arrays += [state.steps, *(state.numpy(name).tobytes() for name in state.kept)]
    settings = [(layer.kind, layer.settings()) for layer in found.network]
    about = (found.epoch, found.step, found.accuracy, found.connectivity, found.created)
    return [
        arrays, settings, found.optimizer.settings, found.history, found.config, found.rng_state,
        about, found.snnr_version,
    ]  # fmt: skip


@pytest.fixture
def sound(tmp_path: Path) -> bytes:
    net = network()
    history = {"epoch": [1, 2], "silent": {"2_lif": [0.5, 0.25]}}
    optimizer = optim.GradR(net.parameters())
    path = snnr.save(tmp_path / "sound.h5", net, optimizer, history, {"seed": 1}, epoch=2)
    return path.read_bytes()


def test_every_changed_byte_is_noticed_or_changes_nothing(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    path.write_bytes(sound)
    before = content(snnr.load(path))
    rng = np.random.default_rng(0)
    noticed = 0
    places = range(int(rng.integers(200)), len(sound), 211)
    for place in places:
        changed = bytearray(sound)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            after = content(snnr.load(path))
        except snnr.CheckpointError:
            noticed += 1
        else:
            assert after == before, place
    assert noticed > len(places) // 10


def test_every_byte_of_small_arrays_is_noticed(sound: bytes, tmp_path: Path) -> None:
    """They have no checksum of HDF5's own."""
    path = tmp_path / "c.h5"
    path.write_bytes(sound)
    with h5py.File(path) as file:
        places = []
        for name in ("network/0_linear/weight/data", "optimizer/1_batchnorm1d/scale/exp_avg",
                     "history/silent/2_lif", "config", "rng/3_dropout"):  # fmt: skip
            start = file[name].id.get_offset()
            places += list(range(start, start + file[name].id.get_storage_size(), 7))
    for place in places:
        changed = bytearray(sound)
        changed[place] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises(snnr.CheckpointError):
            snnr.load(path)


def test_the_optimizer_left_alone_is_not_read(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    path.write_bytes(sound)
    with h5py.File(path, "r+") as file:
        file["optimizer/0_linear/weight/exp_avg"][...] = 1
    with pytest.raises(snnr.CheckpointError, match="/optimizer is not what was written"):
        snnr.load(path)
    assert snnr.load(path, with_optimizer=False).optimizer is None
    with h5py.File(path, "r+") as file:
        file["network"].attrs["note"] = 1
    with pytest.raises(snnr.CheckpointError, match="/network is not what was written"):
        snnr.load(path, with_optimizer=False)


def test_an_old_checkpoint_is_read() -> None:
    found = snnr.load(FIXTURE)
    assert (found.epoch, found.step, found.accuracy, found.snnr_version) == (2, 2, 0.75, "0.1.0")
    assert found.config == {"seed": 1, "dataset": "mnist"}
    assert found.history["silent"] == {"2_lif": [0.5, 0.25]}
    assert found.order is not None
    assert found.order.tolist() == [0, 1, 2, 3, 4]
    assert isinstance(found.optimizer, optim.GradR)
    with h5py.File(FIXTURE) as file:
        assert file.attrs["format_version"] == 1
        theta = file["optimizer/0_conv2d/weight/theta"][()]
        state = json.loads(file["rng/5_dropout"][()])["state"]["state"]
    np.testing.assert_array_equal(found.optimizer.state[found.network[0].weight].theta, theta)
    assert found.network[5].draws.key == state % (1 << 63)


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "NaN accuracy": ({"accuracy": float("nan")}, "accuracy (=nan)"),
    "accuracy in per cent": ({"accuracy": 93.0}, "accuracy (=93.0)"),
    "negative epoch": ({"epoch": -1}, "epoch (=-1)"),
    "huge step": ({"step": 1 << 63}, "step (="),
    "half an epoch": ({"epoch": 0.5}, "epoch (=0.5)"),
    "unequal history": ({"history": {"a": [1, 2], "b": [1]}}, "/history/b has shape [1]"),
    "unequal layers": ({"history": {"a": {"x": [1], "y": []}}}, "/history/a/y has shape [0]"),
    "ragged history": ({"history": {"a": [[1], [1, 2]]}}, "history 'a' must be one number"),
    "history of text": ({"history": {"a": ["x"]}}, "history 'a' must be one number"),
    "history of truths": ({"history": {"a": [True]}}, "history 'a' must be one number"),
    "NaN in history": ({"history": {"a": [np.nan]}}, "/history/a has values that are not finite"),
    "huge history": ({"history": {"a": [1 << 70]}}, "history 'a' must be one number"),
    "slash": ({"history": {"a/b": [1]}}, "'a/b' cannot name a column"),
    "dot": ({"history": {".": [1]}}, "'.' cannot name a column"),
    "no name": ({"history": {"a": {"": [1]}}}, "'' cannot name a layer"),
    "number for a name": ({"history": {1: [1]}}, "1 cannot name a column"),
    "zero byte": ({"rng_state": {"a\0b": 1}}, "cannot name a state"),
    "order for a state": ({"rng_state": {"order": 1}}, "'order' cannot name a state"),
    "order of two dimensions": ({"order": np.zeros((2, 2), int)}, "/rng/order has shape"),
    "negative order": ({"order": np.array([-1])}, "/rng/order run from -1"),
    "NaN in config": ({"config": {"a": float("nan")}}, "config cannot be saved as JSON"),
    "deep config": ({"config": {"a": json.loads("[" * 900 + "]" * 900)}}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path, name: str) -> None:
    arguments, told = ODD[name]
    path = snnr.save(tmp_path / "c.h5", network(), epoch=1)
    before = path.read_bytes()
    if not told:
        assert snnr.load(snnr.save(path, network(), **arguments)).config == arguments["config"]
        return
    with pytest.raises(snnr.CheckpointError) as caught:
        snnr.save(path, network(), **arguments)
    assert told in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.h5"]


def test_steps_beyond_the_limit_are_not_saved(tmp_path: Path) -> None:
    net = network()
    net.T = 70_000
    with pytest.raises(snnr.CheckpointError, match=r"T=70000, expected .*: not saved"):
        snnr.save(tmp_path / "c.h5", net)


def test_the_end_of_a_schedule_comes_back(tmp_path: Path) -> None:
    net = network()
    optimizer = optim.GradR(net.parameters(), lr=0.5)
    optimizer.lr = 0.0
    found = snnr.load(snnr.save(tmp_path / "c.h5", net, optimizer)).optimizer
    assert found is not None
    assert found.lr == 0
    optimizer.lr = float("nan")
    with pytest.raises(snnr.CheckpointError, match=r"lr \(=nan\) must be"):
        snnr.save(tmp_path / "c.h5", net, optimizer)


def test_an_optimizer_over_some_of_the_parameters_comes_back(tmp_path: Path) -> None:
    net = network()
    some = [net[1].shift, net[0].weight]
    optimizer = optim.GradR(some)
    found = snnr.load(snnr.save(tmp_path / "c.h5", net, optimizer))
    assert found.optimizer is not None
    assert [p.name for p in found.optimizer.params] == [p.name for p in some]


def test_a_layer_that_only_looks_known_is_not_saved(tmp_path: Path) -> None:
    class Linear(nn.Linear):
        pass

    with pytest.raises(
        snnr.CheckpointError, match="'0_linear' is a Linear, which checkpoints do not"
    ):
        snnr.save(tmp_path / "c.h5", nn.Sequential(Linear(3, 2)))


def test_theta_that_contradicts_its_weight_is_not_loaded(tmp_path: Path) -> None:
    net = network()
    optimizer = optim.GradR(net.parameters())
    path = snnr.save(tmp_path / "c.h5", net, optimizer)
    with h5py.File(path, "r+") as file:
        file["optimizer/0_linear/weight/theta"][0, 0] = 7
    with pytest.raises(snnr.CheckpointError, match=r"contradicts the weight 0_linear\.weight"):
        snnr.load(path)


def test_a_weight_that_was_set_by_hand_is_saved_with_the_theta_that_follows(
    tmp_path: Path,
) -> None:
    net = network()
    optimizer = optim.GradR(net.parameters(), prior=0, lr=1e-3)
    weight = net[0].weight
    weight.data[2] = 0
    weight.data[3] = [-1, 2, -3, 4, -5, 6]
    found = snnr.load(snnr.save(tmp_path / "c.h5", net, optimizer))
    assert found.optimizer is not None
    again = found.network[0].weight
    np.testing.assert_array_equal(again.data, weight.data)
    assert not found.optimizer.state[again].theta[2].any()
    for net_, optimizer_ in ((net, optimizer), (found.network, found.optimizer)):
        for q in net_.parameters():
            q.grad = np.ones(q.shape, np.float32)
        optimizer_.step()
    np.testing.assert_array_equal(again.data, weight.data)
    assert np.abs(again.data[3] - [-1, 2, -3, 4, -5, 6]).max() < 2e-3


def test_a_mistake_in_snnr_is_not_called_damage(
    sound: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object) -> None:
        raise TypeError("a mistake")

    path = tmp_path / "c.h5"
    path.write_bytes(sound)
    monkeypatch.setattr("snnr.checkpoint.reader.read_history", mistaken)
    with pytest.raises(TypeError, match="a mistake"):
        snnr.load(path)
    with pytest.raises(TypeError, match="a mistake"):
        snnr.save(path, network())
    assert path.read_bytes() == sound


Damage = Callable[[h5py.File], None]


def indptr(values: list[int], kind: str) -> Damage:
    def damage(file: h5py.File) -> None:
        group = file["network/0_linear/weight"]
        del group["indptr"]
        group["indptr"] = np.array(values).astype(kind)

    return damage


def plan(file: h5py.File, change: Callable[[dict[str, Any]], None]) -> None:
    described = json.loads(file["network"].attrs["architecture"])
    change(described)
    file["network"].attrs["architecture"] = json.dumps(described)


def empty(file: h5py.File, name: str, shape: tuple[int, ...], kind: str = "f4") -> None:
    """A dataset of that shape of which not a byte is stored."""
    if name in file:
        del file[name]
    chunks = tuple(min(n, 1 << 20) for n in shape) if 0 not in shape else None
    file.create_dataset(name, shape, kind, chunks=chunks)


def empty_weights(file: h5py.File) -> None:
    side = 20_000

    def change(described: dict[str, Any]) -> None:
        described["layers"][0]["settings"].update(in_features=side, out_features=side, bias=False)

    plan(file, change)
    group = file["network/0_linear/weight"]
    group.attrs["shape"] = [side, side]
    for name in ("data", "indices"):
        empty(file, f"network/0_linear/weight/{name}", (0,), "f4" if name == "data" else "i4")
    empty(file, "network/0_linear/weight/indptr", (side + 1,), "i4")


def many_features(file: h5py.File) -> None:
    count = 200_000_000

    def change(described: dict[str, Any]) -> None:
        described["layers"][1]["settings"].update(num_features=count)

    plan(file, change)
    for name in ("scale", "shift", "running_mean", "running_var"):
        empty(file, f"network/1_batchnorm1d/{name}", (count,))


def many_columns(file: h5py.File) -> None:
    del file["history"]
    for index in range(300):
        empty(file, f"history/column{index}", (1 << 20,), "f8")


GREEDY: dict[str, tuple[Damage, str]] = {
    "differences that wrap": (indptr([0, 2**63 - 1, -2, 10, 10, 10], "i8"), "indptr run from -2"),
    "unsigned": (indptr([0, 1, 2, 3, 4, 2**63 + 5], "u8"), "indptr run from 0 to 92233"),
    "unsigned in the middle": (indptr([0, 2**63 + 5, 2, 3, 4, 10], "u8"), "indptr run from 0 to 9"),
    "empty weights": (empty_weights, "network/0_linear brings what it asks for to 1.5 GiB"),
    "features": (many_features, "network/1_batchnorm1d brings what it asks for to"),
    "order": (lambda f: empty(f, "rng/order", (1 << 28,), "i8"), "/rng/order brings"),
    "history": (many_columns, "/history/column"),
    "chunks": (
        lambda f: f.create_dataset("rng/order", (1 << 27,), "i1", chunks=(1,)), "too small for"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GREEDY)
def test_a_tiny_file_asks_for_little(sound: bytes, tmp_path: Path, name: str) -> None:
    damage, told = GREEDY[name]
    path = tmp_path / "c.h5"
    path.write_bytes(sound)
    with h5py.File(path, "r+") as file:
        damage(file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(snnr.CheckpointError) as caught:
        snnr.load(path)
    assert told in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 << 10


def test_a_file_that_is_trusted_may_ask_for_more(
    sound: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.h5"
    path.write_bytes(sound)
    with pytest.raises(snnr.CheckpointError, match="set SNNR_READ_LIMIT to more"):
        snnr.load(path, limit=100)
    monkeypatch.setenv("SNNR_READ_LIMIT", "1K")
    with pytest.raises(snnr.CheckpointError, match=r"may have 1\.0 KiB"):
        snnr.load(path)
    assert snnr.load(path, limit=1 << 20).epoch == 2
    monkeypatch.setenv("SNNR_READ_LIMIT", "1 MiB")
    assert snnr.load(path).epoch == 2
    monkeypatch.setenv("SNNR_READ_LIMIT", "much")
    with pytest.raises(snnr.ConfigError, match="number of bytes"):
        snnr.load(path)


def heap_change(offset: int, value: int) -> Callable[[bytearray], None]:
    def change(image: bytearray) -> None:
        at = image.find(b"GCOL\x01")
        assert at > 0
        image[at + offset : at + offset + 8] = value.to_bytes(8, "little")

    return change


#: objects of a heap that the library would walk for ever, and a heap that is no heap
HEAPS: Mapping[str, Callable[[bytearray], None]] = {
    "size that wraps around": heap_change(24, 2**64 - 16),
    "size past the end": heap_change(24, 1 << 20),
    "small heap": heap_change(8, 64),
}


@pytest.mark.parametrize("name", HEAPS)
def test_a_broken_heap_of_texts_is_refused_and_never_walked(tmp_path: Path, name: str) -> None:
    image = bytearray(FIXTURE.read_bytes())
    HEAPS[name](image)
    path = tmp_path / "c.h5"
    path.write_bytes(image)
    program = (
        f"import snnr\ntry:\n    snnr.load({str(path)!r})\n"
        "except snnr.CheckpointError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "the heap of texts at byte" in done.stdout


def test_an_object_without_size_in_a_heap_is_refused(tmp_path: Path) -> None:
    image = bytearray(FIXTURE.read_bytes())
    at = image.find(b"GCOL\x01") + 16
    while image[at : at + 2] != b"\0\0":
        size = int.from_bytes(image[at + 8 : at + 16], "little")
        at += 16 + (size + 7) // 8 * 8
    image[at + 8 : at + 16] = bytes(8)
    path = tmp_path / "c.h5"
    path.write_bytes(image)
    with pytest.raises(snnr.CheckpointError, match=r"heap of texts at byte .* is damaged"):
        snnr.load(path)


def test_a_text_that_is_told_to_be_huge_is_not_read(tmp_path: Path) -> None:
    """The library would clear 4 GiB for it first."""
    path = tmp_path / "c.h5"
    sound = FIXTURE.read_bytes()
    path.write_bytes(sound)
    with h5py.File(path) as file:
        places = [file["config"].id.get_offset()]
        length = len(file["network"].attrs["architecture"])
    # the attribute is stored as its name, its type, its space and then its length
    name = sound.find(b"architecture\0")
    places.append(sound.find(length.to_bytes(4, "little"), name))
    for place, told in zip(places, ("/config", "attribute 'architecture' of /net"), strict=True):
        changed = sound[:place] + b"\xff\xff\xff\xff" + sound[place + 4 :]
        path.write_bytes(changed)
        with pytest.raises(snnr.CheckpointError, match="is text of 4294967295 bytes") as caught:
            snnr.load(path)
        assert told in str(caught.value)


def test_escape_sequences_of_a_file_are_written_out(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    for place, told in (
        ("network/\x1b]0;evil\x07\u202e\n", r"/network/\x1b]0;evil\x07\u202e\n is a SoftLink"),
        ("history/\x9b", r"/history/\x9b is a SoftLink"),
    ):
        path.write_bytes(sound)
        with h5py.File(path, "r+") as file:
            file[place] = h5py.SoftLink("/")
        with pytest.raises(snnr.CheckpointError) as caught:
            snnr.load(path)
        assert told in str(caught.value)
