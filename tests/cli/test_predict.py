"""snnr predict, and the engine of snnr eval that it shares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import snnr

Run = Callable[..., Result]
Answer = Callable[..., dict[str, Any]]


@pytest.fixture
def images(tiny_file: Path) -> np.ndarray:
    with np.load(tiny_file) as arrays:
        return arrays["x_test"][:6]


def test_the_same_labels_from_every_kind_of_file(
    answer: Answer, run: Run, trained: Path, images: np.ndarray, tmp_path: Path
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    found = snnr.load(trained)
    about = found.config["data"]
    source = snnr.input.Images(images, about["mean"], about["std"])
    normal = source.batch(np.arange(6)).numpy()
    with snnr.no_grad():
        wanted = found.network(normal).numpy().mean(axis=0)
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "grey.npy", images[:, 0])
    np.save(tmp_path / "floats.npy", normal.astype(np.float64))
    np.save(tmp_path / "turned.npy", np.asfortranarray(images.astype(np.int64)))
    np.savez(tmp_path / "b.npz", other=np.zeros(3), x_test=images)
    np.savez_compressed(tmp_path / "c.npz", whatever=images)
    for name in ("a.npy", "grey.npy", "floats.npy", "turned.npy", "b.npz", "c.npz"):
        told = answer("predict", trained, tmp_path / name)["images"]
        assert [entry["index"] for entry in told] == list(range(6))
        np.testing.assert_allclose([entry["rates"] for entry in told], wanted, rtol=1e-6)
        assert [entry["label"] for entry in told] == wanted.argmax(axis=1).tolist()
    pillow.fromarray(images[2, 0]).save(tmp_path / "d.png")
    (told,) = answer("predict", trained / "checkpoint.h5", tmp_path / "d.png")["images"]
    np.testing.assert_allclose(told["rates"], wanted[2], rtol=1e-6)
    text = run("predict", trained, "d.png").stdout
    assert text.splitlines()[0].split() == [
        "image", "label", "rate", "rates", "of", "all", "classes",
    ]  # fmt: skip
    assert text.splitlines()[1].split()[:2] == ["d.png", str(told["label"])]


def test_what_is_no_image_is_told_in_one_line(
    run: Run, trained: Path, images: np.ndarray, tmp_path: Path
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    np.save(tmp_path / "wide.npy", np.zeros((2, 1, 9, 8), np.uint8))
    np.save(tmp_path / "bright.npy", np.full((1, 8, 8), 256))
    np.save(tmp_path / "nan.npy", np.full((1, 8, 8), np.nan))
    np.save(tmp_path / "text.npy", np.full((1, 8, 8), "x"))
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "wide.npy").read_bytes()[:-3])
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "zip.npz").write_bytes(b"PK no archive")
    np.savez(tmp_path / "names.npz", a=images, b=images)
    (tmp_path / "no.png").write_bytes(b"no picture")
    pillow.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "large.png")
    for name, told in {
        "wide.npy": "the network takes [1, 8, 8]",
        "bright.npy": "0..255",
        "nan.npy": "not finite",
        "text.npy": "expected pixels",
        "objects.npy": "pickled objects",
        "cut.npy": "is cut short",
        "empty.npy": "cannot be read",
        "zip.npz": "cannot be read",
        "names.npz": "has a, b, expected an array named images, x, x_test",
        "no.png": "no picture",
        "large.png": "9 by 8 pixels",
        "missing.npy": "no such file",
    }.items():
        result = run("predict", trained, tmp_path / name, "-q", code=1)
        assert told in result.stderr
        assert result.stderr.startswith(f"Error: {tmp_path / name}")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""


def test_predict_needs_to_know_its_images(run: Run, tmp_path: Path) -> None:
    snnr.save(tmp_path / "c.h5", snnr.models.mnist_fc(T=2, input_shape=(1, 8, 8)))
    np.save(tmp_path / "a.npy", np.zeros((1, 8, 8), np.uint8))
    assert "does not say what images" in run("predict", "c.h5", "a.npy", code=1).stderr
    run("predict", "c.h5", code=2)


def test_eval_by_the_compiled_network(answer: Answer, run: Run, trained: Path) -> None:
    dense, sparse = answer("eval", trained), answer("eval", trained, "--engine", "sparse")
    assert (dense["engine"], sparse["engine"]) == ("dense", "sparse")
    for key in ("accuracy", "connectivity", "images", "warnings"):
        assert sparse[key] == dense[key]
    assert sparse["loss"] == pytest.approx(dense["loss"])
    assert sparse["synaptic_operations"] == pytest.approx(dense["synaptic_operations"])
    for mine, theirs in zip(sparse["layers"], dense["layers"], strict=True):
        assert mine["nonzero"] == theirs["nonzero"]
        assert mine["firing_rate"] == pytest.approx(theirs["firing_rate"], rel=0.1)
    assert "(sparse)" in run("eval", trained, "--engine", "sparse").stdout
    result = run("eval", trained, "--engine", "sparse", "--device", "cuda", code=2)
    assert "CPU" in result.stderr
