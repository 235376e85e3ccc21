"""Data sets of the user's own, in .npz and HDF5 files."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import snnr.data

from snnr.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5, 6), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])


def arrays(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "x_train": GREY,
        "y_train": LABELS,
        "x_test": GREY[:3],
        "y_test": LABELS[:3],
    }
    return {name: value for name, value in (base | changes).items() if value is not None}


def write(path: Path, content: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez_compressed(path, **content)
    else:
        with h5py.File(path, "w") as file:
            for name, value in content.items():
                file[name] = value
    return path


@pytest.fixture(params=["own.npz", "own.h5", "own.hdf5"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_grey_images(path: Path) -> None:
    read = snnr.data.load(str(write(path, arrays())))
    np.testing.assert_array_equal(read.x_train, GREY[:, None])
    np.testing.assert_array_equal(read.y_train, LABELS)
    assert read.x_train.dtype == np.uint8
    assert read.y_train.dtype == np.int64
    assert (read.name, read.source, read.classes) == ("own", str(path), 3)
    assert read.augmentation is None
    assert read.mean == pytest.approx(((GREY / 255).mean(),))
    assert read.std == pytest.approx(((GREY / 255).std(),))


def test_a_path_object_will_do(path: Path) -> None:
    assert snnr.data.load(write(path, arrays())).image_shape == (1, 5, 6)


def test_colour_floats_and_given_constants(path: Path) -> None:
    x = RNG.normal(3, 2, (7, 3, 4, 5))
    content = arrays(x_train=x, x_test=x[:3], mean=[1, 2, 3], std=[1.0, 2.0, 0.5], classes=10)
    read = snnr.data.load(write(path, content))
    np.testing.assert_array_equal(read.x_train, x.astype(np.float32))
    assert read.x_train.dtype == read.x_test.dtype == np.float32
    assert (read.mean, read.std, read.classes) == ((1.0, 2.0, 3.0), (1.0, 2.0, 0.5), 10)


def test_statistics_of_floats_are_per_channel(path: Path) -> None:
    x = RNG.normal(3, 2, (7, 2, 4, 5)).astype(np.float32)
    x[:, 1] = 0.1  # constant: nothing to scale
    read = snnr.data.load(write(path, arrays(x_train=x, x_test=x[:3])))
    assert read.mean == pytest.approx(x.mean(axis=(0, 2, 3)), abs=1e-6)
    assert read.std == pytest.approx((x[:, 0].std(), 1.0), rel=1e-5)


def test_flat_features(path: Path) -> None:
    flat = GREY.reshape(7, -1)
    read = snnr.data.load(write(path, arrays(x_train=flat, x_test=flat[:3])))
    np.testing.assert_array_equal(read.x_train.reshape(7, -1), flat)
    assert read.x_train.shape == (7, 1, 1, 30)
    assert len(read.mean) == 1


def test_limit_keeps_the_statistics_of_the_whole(path: Path) -> None:
    write(path, arrays())
    few, whole = snnr.data.load(path, limit_train=2), snnr.data.load(path)
    assert (few.mean, few.std, few.classes) == (whole.mean, whole.std, whole.classes)
    np.testing.assert_array_equal(few.x_train, whole.x_train[:2])
    np.testing.assert_array_equal(few.y_train, whole.y_train[:2])
    with pytest.raises(DataError, match="between 1 and 7"):
        snnr.data.load(path, limit_train=8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "no y_test; it has"),
        ({"y_train": LABELS[:-1]}, "x_train has 7 images but y_train has 6 labels"),
        ({"y_train": LABELS.astype(float)}, "whole numbers"),
        ({"y_train": LABELS[:, None]}, "whole numbers of shape"),
        ({"y_train": LABELS - 1}, "label -1"),
        ({"classes": 2}, r"label 2, expected 0\.\.1"),
        ({"classes": 0}, "at least 1"),
        ({"classes": 1 << 20}, r"classes \(=1048576\) must not be more than 65536"),
        ({"y_train": LABELS * 500_000}, "has label 1000000 among 10 labels"),
        ({"y_train": LABELS.astype(np.uint64) << np.uint64(63)}, "expected|number the classes"),
        ({"x_train": GREY.astype(np.int32)}, "x_train is int32"),
        ({"x_test": GREY[:3, :4]}, r"training images have shape \(1, 5, 6\)"),
        ({"x_test": GREY[:3] / 255}, "store both as"),
        ({"x_train": GREY[:0], "y_train": LABELS[:0]}, "none of them 0"),
        ({"x_train": GREY.reshape(-1)}, "expected .N, C, H, W."),
        ({"x_train": GREY.reshape(7, 5, 6, 1)}, "looks like .N, H, W, C."),
        ({"x_train": np.full((7, 5, 6), np.nan)}, "not finite"),
        ({"x_train": np.full((7, 5, 6), 1e300)}, "not finite in float32"),
        ({"mean": [0.5]}, "has mean alone"),
        ({"mean": [0.5, 0.5], "std": [1.0, 1.0]}, "mean has 2 entries, expected 1"),
        ({"mean": [0.5], "std": [0.0]}, "must be positive"),
        ({"mean": [np.inf], "std": [1.0]}, "must be finite"),
        ({"mean": [[0.5]], "std": [1.0]}, "one number per channel"),
    ],
)
def test_rejects(path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        snnr.data.load(write(path, arrays(**changes)))
    assert str(path) in str(caught.value)


def test_missing_file(path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        snnr.data.load(path)


def test_damaged_file(path: Path) -> None:
    write(path, arrays())
    content = path.read_bytes()
    for broken in (b"", b"hello", content[: len(content) // 3]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"cannot be read|not a readable HDF5 file"):
            snnr.data.load(path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("a pickle was run",))

    objects = np.empty(7, object)
    objects[:] = [Boom() for _ in range(7)]
    path = tmp_path / "own.npz"
    np.savez(path, **arrays(y_train=objects))
    with pytest.raises(DataError, match="pickle"):
        snnr.data.load(path)


def test_a_spread_that_is_nothing_in_float32_is_that_of_a_constant(path: Path) -> None:
    dark = np.zeros((7, 1, 5, 6), np.float32)
    dark[0, 0, 0, 0] = 1e-44
    found = snnr.data.load(write(path, arrays(x_train=dark, x_test=dark[:3])))
    assert found.std == (1.0,)
    given = arrays(mean=np.zeros(1), std=np.full(1, 1e-46))
    with pytest.raises(DataError, match=r"std \(1e-46,\) must be positive"):
        snnr.data.load(write(path, given))


@pytest.mark.parametrize("first", [1, 3])
def test_labels_that_do_not_count_from_zero_are_refused(path: Path, first: int) -> None:
    """They would be outputs that nothing belongs to."""
    ones = arrays(y_train=LABELS + first, y_test=LABELS[:3] + first)
    last = int(LABELS.max()) + first
    empty = {1: "class 0 is", 3: "classes 0 to 2 are"}[first]
    with pytest.raises(DataError) as told:
        snnr.data.load(write(path, ones))
    assert str(told.value) == (
        f"{path}: labels run from {first} to {last} and none is 0, expected 0..{LABELS.max()}, for "
        f"each class is an output of the network; subtract {first}, or say how many classes there "
        f"are in `classes` (={last + 1}) if {empty} without an image"
    )
    assert snnr.data.load(write(path, ones | {"classes": last + 1})).classes == last + 1
    with pytest.raises(DataError, match=rf"label {last}, expected 0..{last - 1} for {last} clas"):
        snnr.data.load(write(path, ones | {"classes": last}))
    # a class that only the test images have is one
    mixed = arrays(y_train=np.maximum(LABELS, 1), y_test=np.zeros(3, int))
    assert snnr.data.load(write(path, mixed)).classes == LABELS.max() + 1


def external(file: h5py.File, path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(bytes(30 * 7))
    file.create_dataset("x_train", GREY.shape, "u1", external=[(str(secret), 0, 210)])


def linked(file: h5py.File, path: Path) -> None:
    write(path.with_name("other.h5"), arrays())
    file["x_train"] = h5py.ExternalLink("other.h5", "/x_train")


def virtual(file: h5py.File, path: Path) -> None:
    write(path.with_name("other.h5"), arrays())
    layout = h5py.VirtualLayout(GREY.shape, "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x_train", GREY.shape)
    file.create_virtual_dataset("x_train", layout)


def soft(file: h5py.File, path: Path) -> None:
    file["other"] = GREY
    file["x_train"] = h5py.SoftLink("/other")


def empty(file: h5py.File, path: Path) -> None:
    file.create_dataset("x_train", (14_000_000, 1000), "u1", chunks=(1000, 1000))


def packed_oddly(file: h5py.File, path: Path) -> None:
    file.create_dataset("x_train", data=GREY, compression="lzf")


def strings(file: h5py.File, path: Path) -> None:
    file["x_train"] = ["a", "b"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (external, "/x_train refers to other files"),
        (linked, "/x_train is a ExternalLink"),
        (virtual, "/x_train refers to other files"),
        (soft, "/x_train is a SoftLink"),
        (empty, "x_train brings what it asks for to 52.2 GiB"),
        (packed_oddly, "filters other than gzip"),
        (strings, "/x_train is object, expected"),
    ],
)
def test_an_hdf5_file_is_held_to_the_rules_of_checkpoints(
    tmp_path: Path, make: Any, told: str
) -> None:
    path = write(tmp_path / "own.h5", arrays(x_train=None))
    with h5py.File(path, "r+") as file:
        make(file, path)
    with pytest.raises(DataError) as caught:
        snnr.data.load(path)
    assert told in str(caught.value)


def npz(path: Path, body: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    write(path, arrays(x_train=None))
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("x_train.npy", body)
    return path


def header(text: str, version: int = 1) -> bytes:
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


SHAPED = "{'descr': '|u1', 'fortran_order': False, 'shape': %s}"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (header(SHAPED % "(1000000, 100000)"), "does not fit into its"),
        (header(SHAPED % "(-1, 5)"), "does not fit into its"),
        (header(SHAPED % "(7, 5, 6)") + bytes(209), "cannot be read"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (7,)}"), "pickled objects"),
        (header("{'descr': ("), "cannot be read"),
        (header("{" * 500), "cannot be read"),
        (header("(" * 9000, 2), "cannot be read"),
        (header(SHAPED % "(7,)", 3), "version"),
        (b"", "cannot be read"),
    ],
)
def test_an_npz_of_nonsense(tmp_path: Path, body: bytes, told: str) -> None:
    with pytest.raises(DataError, match=told):
        snnr.data.load(npz(tmp_path / "own.npz", body))


def test_an_npz_packed_in_another_way_is_refused(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with pytest.raises(DataError, match="not packed as"):
            snnr.data.load(npz(tmp_path / "own.npz", bytes(500), method))


def test_an_npz_that_unpacks_to_a_thousandfold_is_counted_first(tmp_path: Path) -> None:
    count = 1_000_000
    body = header(SHAPED % f"({count}, 784)") + bytes(count * 784)
    with pytest.raises(DataError, match=r"x_train brings what it asks for to .*SNNR_READ_LIMIT"):
        snnr.data.load(npz(tmp_path / "own.npz", body))
