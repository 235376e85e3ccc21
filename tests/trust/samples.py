"""A sound file of every format that snnr reads, and how each is read.

A text that names a network, a schedule or moves is a file here as well.
"""

import contextlib
import gzip
import importlib.util
import io
import re
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import snnr.data
from snnr.data import File, Record

import snnr
from snnr import SnnrError, models, nn, optim
from snnr.checkpoint import Checkpoint
from snnr.export import exported, write_c, write_nir, write_npz
from snnr.input import Images, canonical_moves
from snnr.input.moves import moves
from snnr.models import SpecError
from snnr.training import Callback, Trainer, canonical_schedule
from snnr.training.schedule import schedule

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "checkpoint_v1.h5"


def _idx(values: np.ndarray) -> bytes:
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


def _record(layout: Any, files: tuple[File, ...], image: tuple[int, int, int]) -> Record:
    return Record(
        name="sample", title="sample", classes=2, image=image, n_train=6, n_test=3,
        mean=(0.5,) * image[0], std=(0.2,) * image[0], augmentation=None, layout=layout,
        files=files, train_members=("a.bin", "b.bin"), test_members=("c.bin",),
    )  # fmt: skip


_ROLES: tuple[Any, ...] = ("x_train", "y_train", "x_test", "y_test")
IDX = _record(
    "idx",
    tuple(File(f"{role}.gz", role, packed_limit=10_000, size=10_000) for role in _ROLES),
    (1, 3, 4),
)
CIFAR = _record("cifar-binary", (File("all.tar.gz", "archive", 100_000, 100_000),), (3, 2, 2))


def write_checkpoint(path: Path) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=0), nn.BatchNorm2d(4), nn.LIF(), nn.Flatten(), nn.Dropout(rng=1),
        nn.Linear(144, 12, rng=2), nn.IF(), T=3,
    )  # fmt: skip
    history = {"epoch": [1, 2], "silent": {"2_lif": [0.5, 0.25]}}
    snnr.save(path, net, optim.GradR(net.parameters()), history, {"a": 1}, order=np.arange(9))


class _Enough(Callback):
    """Saves in the middle of the second epoch, and ends the training."""

    def step(self, trainer: Trainer) -> None:
        if (trainer.epoch, trainer.position) == (1, 1):
            trainer.save()
            raise StopIteration


def _own() -> snnr.data.Dataset:
    """Images in memory."""
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 256, (9, 1, 6, 6), np.uint8), np.arange(9) % 2
    return snnr.data.Dataset("own", x[:6], y[:6], x[6:], y[6:], (0.5,), (0.2,), 2, None, "memory")


def _write_run(path: Path) -> None:
    """A training that was stopped in the middle of an epoch, with everything there is to keep."""
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, rng=0), nn.BatchNorm2d(3), nn.LIF(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.4, rng=1), nn.Sequential(nn.Linear(27, 4, rng=2), nn.LIF()),
        nn.Voting(2), T=2,
    )  # fmt: skip
    optimizer = optim.GradR(net.parameters(), lr=0.01)
    run = Trainer(net, optimizer, _own(), 2, 3, augment="affine", callbacks=[_Enough()],
                  checkpoint=path)  # fmt: skip
    with contextlib.suppress(StopIteration):
        run.fit()


def _go_on(path: Path) -> list[Any]:
    """Everything in the file, and what a training that goes on from there begins with."""
    found = snnr.load(path)
    told = contents(found)
    run = Trainer.resume(found, _own())
    return [told, run.batch_size, run.epochs, run.loss, run.position, run.mean_loss]


def _images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (6, 3, 4), np.uint8),
        "y_train": rng.integers(0, 2, 6).astype(np.uint8),
        "x_test": rng.integers(0, 256, (3, 3, 4), np.uint8),
        "y_test": np.array([1, 0, 1], np.uint8),
    }


def _write_idx(path: Path) -> None:
    """`path` is the training images; the other three lie beside it."""
    for role, values in _images().items():
        path.with_name(f"{role}.gz").write_bytes(gzip.compress(_idx(values), mtime=0))


def _write_cifar(path: Path) -> None:
    rng = np.random.default_rng(1)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in ("a.bin", "readme", "b.bin", "c.bin"):
            body = rng.integers(0, 256, (3, 13), np.uint8)
            body[:, 0] %= 2
            info = tarfile.TarInfo(name)
            info.size = body.size
            archive.addfile(info, io.BytesIO(body.tobytes()))
    path.write_bytes(out.getvalue())


def _write_npz(path: Path) -> None:
    np.savez_compressed(path, **_images())  # type: ignore[arg-type]


def _write_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in _images().items():
            packed = {"compression": "gzip", "shuffle": True} if values.ndim > 1 else {}
            file.create_dataset(name, data=values, **packed)


def _network() -> nn.Sequential:
    """With every layer that an export can say."""
    spec = "4c3-bn-lif-mp2-3c3s2-if-ap2-fc6-lif(tau=3,decay_input=no)-vote3"
    return models.make(spec, T=3, input_shape=(2, 8, 8), classes=2).eval()


def _write_nir(path: Path) -> None:
    write_nir(_network(), path, input_shape=(2, 8, 8), mean=(0.5, 0.5), std=(0.2, 0.2))


def _read_nir(path: Path) -> list[Any]:
    return _layers(snnr.load_nir(path))


def _write_weights(path: Path) -> None:
    np.savez_compressed(path, **_arrays(_network()))  # type: ignore[arg-type]


def _read_weights(path: Path) -> list[Any]:
    """All of it is taken, or nothing."""
    network = _network()
    before = _layers(network)
    try:
        snnr.load_weights(network, path)
    except SnnrError:
        assert _layers(network) == before, "changed by a file that was refused"
        raise
    return _layers(network)


def _write_export(path: Path) -> None:
    """A checkpoint that says all that an export wants to know."""
    data = {"image_shape": [2, 8, 8], "mean": [0.5, 0.4], "std": [0.2, 0.3]}
    config = {"dataset": "own", "method": "grad-r", "prior": 0.3, "data": data}
    network = _network().train()
    snnr.save(path, network, optim.GradR(network.parameters()), {"epoch": [1]}, config)


def _read_export(path: Path) -> list[Any]:
    """Every target writes the checkpoint; which numbers C has depends on the file."""
    chosen = zlib.crc32(path.read_bytes())
    network = exported(path)
    with contextlib.suppress(SnnrError):  # a layer that NIR cannot say does not end it
        write_nir(network, path.with_suffix(".nir"))
    write_npz(network, path.with_suffix(".npz"))
    kind = (None, "int8", "int16")[chosen % 3]
    header = write_c(network, path.with_suffix(".h"), quantize=kind).header.text
    compiler = shutil.which("gcc")
    if chosen % 16 == 0 and compiler:
        command = [compiler, "-std=c99", "-fsyntax-only", "-x", "c", "-DNETWORK_GOLDEN", "-"]
        done = subprocess.run(command, input=header, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    return [network.T, len(network.form.stages)]


_NET = "4c3s2p1-bn-lif(tau=3,v_threshold=0.8,v_reset=none)-mp2s1-dp0.3-fc20-if-fc10-lif-vote5"
_SCHEDULE = "step:factor=0.3,at=0.25/0.5/0.75"
_MOVES = "affine:degrees=7,translate=0.05,scale=0.95/1.05"


def _text(path: Path) -> str:
    """As an argument of a program arrives."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _read_net(path: Path) -> list[Any]:
    """What a text names has one text, which names the same."""
    text = _text(path)
    try:
        one = models.canonical(text)
        if any(int(number) > 300 for number in re.findall(r"\d+", one.replace(".", ""))):
            return [one]  # too large to be made so often
        network = models.make(text, T=2, input_shape=(2, 8, 8), classes=2)
    except SpecError as error:
        _told(error.pointing())
        raise
    again = models.make(one, T=2, input_shape=(2, 8, 8), classes=2)
    assert models.canonical(one) == one, f"{one!r} is not the one text"
    assert _layers(again) == _layers(network), f"{one!r} is another network"
    return [one]


def _told(lines: str) -> None:
    assert all(line.isprintable() for line in lines.split("\n")), f"unprintable: {lines!r}"


def _read_schedule(path: Path) -> list[Any]:
    text = _text(path)
    one = canonical_schedule(text)
    assert canonical_schedule(one) == one, f"{one!r} is not the one text"
    shares = [schedule(text).share(step, 100) for step in range(101)]
    assert all(0 <= share <= 1 for share in shares), shares
    assert shares == [schedule(one).share(step, 100) for step in range(101)], one
    return [one, shares]


def _read_moves(path: Path) -> list[Any]:
    text = _text(path)
    one = canonical_moves(text)
    assert canonical_moves(one) == one, f"{one!r} is not the one text"
    assert moves(one) == moves(text), one
    square = np.zeros((2, 1, 6, 5), np.uint8)
    batches = [
        Images(square + 200, [0.0], [1.0], kind).batch([0, 1], np.random.default_rng(1)).numpy()
        for kind in (text, one)
    ]
    assert np.array_equal(*batches), one
    assert (batches[0] <= 1).all()
    return [one, batches[0]]


def _arrays(network: nn.Sequential) -> dict[str, np.ndarray]:
    return {a.name: a.numpy() for layer in network.layers() for a in layer.arrays().values()}


def _layers(network: nn.Sequential) -> list[Any]:
    """What a network is, comparable."""
    arrays = {name: values.tobytes() for name, values in _arrays(network).items()}
    return [arrays, network.T, [nn.describe(layer) for layer in network]]


def contents(found: Checkpoint) -> list[Any]:
    """What a checkpoint says, comparable."""
    layers = found.network.layers()
    arrays = [a.numpy().tobytes() for layer in layers for a in layer.arrays().values()]
    for state in found.optimizer.state.values() if found.optimizer else ():
        arrays += [state.numpy(name).tobytes() for name in state.kept]
    about = (found.epoch, found.step, found.connectivity, found.history, found.config)
    return [arrays, about, [nn.describe(layer) for layer in found.network], found.rng_state]


def _dataset(found: snnr.data.Dataset) -> list[Any]:
    return [found.x_train.tobytes(), found.y_train.tobytes(), found.x_test.tobytes(), found.classes]


class Format:
    """One format.

    file : the name of the file that is mutated.
    write : makes a sound one at a path.
    read : reads it, and returns what it says, comparable.
    exact : whatever is accepted must say what the sound file says.
    """

    def __init__(
        self, file: str, write: Callable[[Path], None], read: Callable[[Path], Any], exact: bool
    ) -> None:
        self.file = file
        self.write = write
        self.read = read
        self.exact = exact


FORMATS: dict[str, Format] = {
    "checkpoint": Format("c.h5", write_checkpoint, lambda p: contents(snnr.load(p)), exact=True),
    "checkpoint v1": Format(
        "c.h5",
        lambda p: (p.write_bytes(FIXTURE.read_bytes()), None)[1],
        lambda p: contents(snnr.load(p)),
        exact=False,
    ),
    "run": Format("c.h5", _write_run, _go_on, exact=True),
    "idx": Format(
        "x_train.gz", _write_idx, lambda p: _dataset(snnr.data.load(IDX, p.parent)), exact=False
    ),
    "cifar": Format(
        "all.tar.gz", _write_cifar, lambda p: _dataset(snnr.data.load(CIFAR, p.parent)), exact=False
    ),
    "npz": Format("own.npz", _write_npz, lambda p: _dataset(snnr.data.load(p)), exact=False),
    "hdf5": Format("own.h5", _write_h5, lambda p: _dataset(snnr.data.load(p)), exact=False),
    "weights": Format("w.npz", _write_weights, _read_weights, exact=False),
    "export": Format("c.h5", _write_export, _read_export, exact=False),
    "net": Format("net", lambda p: (p.write_text(_NET), None)[1], _read_net, exact=False),
    "schedule": Format(
        "s", lambda p: (p.write_text(_SCHEDULE), None)[1], _read_schedule, exact=False
    ),
    "moves": Format("m", lambda p: (p.write_text(_MOVES), None)[1], _read_moves, exact=False),
}
if importlib.util.find_spec("nir") is not None:
    FORMATS["nir"] = Format("n.nir", _write_nir, _read_nir, exact=False)
