"""What somebody sees who types the name of a thing: one line, whatever is inside of it."""

from pathlib import Path

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import export
from snnr.input import Samples

from .training.runs import trainer


@pytest.fixture
def trained(tiny: Dataset, tmp_path: Path) -> snnr.Trainer:
    run = trainer(tiny, tmp_path / "c.h5", augment=False, epochs=1)
    run.fit()
    return run


def test_a_line_that_tells_what_it_is(trained: snnr.Trainer, tiny: Dataset, tmp_path: Path) -> None:
    found = snnr.load(tmp_path / "c.h5")
    engine = snnr.compile(found)
    accuracy = f"accuracy {100 * (found.accuracy or 0):.2f} %"
    share = f"connectivity {100 * found.connectivity:.2f} %"
    for thing, told in (
        (tiny, ("'tiny'", "200 training", "80 test", "1x8x8 uint8", "4 classes")),
        (Samples.of(tiny), ("'tiny'", "Images([200, 1, 8, 8]", "Images([80, 1, 8, 8]")),
        (found, ("c.h5", "epoch 1", accuracy, share, "optimizer GradR")),
        (snnr.load(tmp_path / "c.h5", with_optimizer=False), ("optimizer none",)),
        (trained, ("'tiny'", "Sequential", "GradR", "epoch 1 of 1", "batch_size=32", "cpu")),
        (engine, ("Engine(1x8x8 to 4, T=", "2 layers of")),
    ):
        text = repr(thing)
        assert "\n" not in text
        assert len(text) < 250
        for part in told:
            assert part in text, text


def test_an_engine_before_its_first_images(trained: snnr.Trainer, tiny: Dataset) -> None:
    engine = snnr.compile(trained.network)
    assert "first" in repr(engine)
    mean, std = np.float32(tiny.mean[0]), np.float32(tiny.std[0])
    engine.predict((tiny.x_test[:1].astype(np.float32) / 255 - mean) / std)
    assert "1x8x8 to 4" in repr(engine)


def test_a_checkpoint_is_compiled_and_exported_as_its_file(
    trained: snnr.Trainer, tiny: Dataset, tmp_path: Path
) -> None:
    """With the shape and the normalisation of its images, which its network alone does not know."""
    path = tmp_path / "c.h5"
    found = snnr.load(path)
    ours, theirs = snnr.compile(found), snnr.compile(path)
    np.testing.assert_array_equal(ours.rates(tiny.x_test), theirs.rates(tiny.x_test))
    assert ours.form.input_shape == (1, 8, 8)
    written = [export.write_npz(of, tmp_path / f"{i}.npz") for i, of in enumerate((found, path))]
    assert written[0].read_bytes() == written[1].read_bytes()
