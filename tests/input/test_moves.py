"""The text that says how images move, in runs and their checkpoints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from snnr.cli import main
from snnr.data import Dataset

import snnr
from snnr.errors import ConfigError
from snnr.input import Affine, CropFlip, Images, Moves, Samples, canonical_moves
from snnr.input.moves import moves
from snnr.training import Cosine, Trainer, run_settings
from snnr.training.schedule import schedule

from ..training.runs import StopAt, network, state


class Own(Affine):
    """Says of itself what it is not."""


SMALL = "affine:degrees=7.0,translate=0.05,scale=0.95/1.05"


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("affine", Affine()),
        (SMALL, Affine(degrees=7, translate=np.float64(0.05), scale=(0.95, 1.05))),
        (" Affine : scale=1/1 , degrees=1e-1", Affine(degrees=0.1, scale=(1, 1))),
        ("crop-flip", CropFlip()),
        ("crop-flip:padding=0", CropFlip(padding=0)),
        # what Python strips from words is no part of a number either
        ("affine:degrees=\x1d3,scale=0.95\x1f\x1d/ 1\x1c", Affine(degrees=3, scale=(0.95, 1))),
        ("crop-flip:padding=\x1e7", CropFlip(padding=7)),
    ],
)  # fmt: skip
def test_texts_and_records_name_the_same(text: str, one: Affine | CropFlip) -> None:
    assert canonical_moves(text) == canonical_moves(one) == str(one)
    assert canonical_moves(str(one)) == str(one)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("affin", r"did you mean affine\?"),
        ("", "unknown moves ''"),
        ("affine:degree=3", r"no option of affine \(did you mean degrees\?\); expected degrees"),
        ("affine:degrees=3,degrees=4", "degrees is given twice"),
        ("affine:degrees=nan", "must be a number such as"),
        ("affine:scale=0.9", r"\(low, high\)"),
        ("affine:scale=1.1/0.9", "low <= high"),
        ("affine:translate=1.5", "between 0 and 1"),
        ("crop-flip:padding=2.5", "must be a whole number"),
        ("crop-flip:padding=-1", "must be a whole number"),
        ("crop-flip:padding=10001", "between 0 and 10,000"),
        ("affine:" + "x" * 300, "at most 200"),
        (3, "must be a text"),
        (Moves(), "must be one of affine, crop-flip"),
        (Own(), "make a snnr.input.Source"),
    ],
)
def test_what_names_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        canonical_moves(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degrees": "3"}, r"degrees \(='3'\) must be a number"),
        ({"degrees": True}, "must be a number"),
        ({"scale": 1.0}, "must be numbers"),
        ({"scale": "12"}, "must be numbers"),
        ({"scale": [0.9, None]}, "must be a number"),
    ],
)
def test_values_of_another_kind(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Affine(**options)


@pytest.mark.parametrize("value", [5e-324, 1e-200, 1 / 3, 1e-05, np.float32(0.1)])
def test_every_number_is_read_back(value: float) -> None:
    for one in (Affine(degrees=value), Affine(scale=[value, 1e20])):  # type: ignore[arg-type]
        assert str(moves(str(one))) == str(one)
        assert moves(str(one)) == one
    assert schedule(str(Cosine(floor=value))) == Cosine(floor=value)


def test_images_move_as_far_as_the_text_says() -> None:
    images = np.zeros((1, 1, 21, 21), np.uint8)
    images[0, 0, 10, 10] = 255

    def reach(kind: str) -> int:
        source = Images(images, [0.0], [1.0], kind)
        found = source.batch(np.zeros(200, int), np.random.default_rng(0)).numpy()
        return int(np.abs(np.argwhere(found[:, 0] > 0)[:, 1:] - 10).max())

    assert reach("affine:degrees=0,translate=0,scale=1/1") == 0
    assert reach("affine:degrees=0,translate=0.1,scale=1/1") == 2
    assert reach("affine:degrees=0,translate=0.3,scale=1/1") == 6
    assert reach("crop-flip:padding=1") == 1
    assert reach("crop-flip:padding=3") == 3


def test_options_are_those_of_the_text_or_given_beside_it() -> None:
    images, rng = np.zeros((2, 1, 3, 4), np.uint8), np.random.default_rng(0)
    ours = Images(images, [0.5], [0.5], "affine", degrees=7, translate=0.05, scale=(0.95, 1.05))
    assert ours.kind == SMALL
    assert ours.moves == Affine(7, 0.05, (0.95, 1.05))
    assert Images(images, [0.5], [0.5]).moves is None
    assert Images(images, [0.5], [0.5]).batch([0], rng).shape == (1, 1, 3, 4)


def run(data: Dataset | Samples, path: Path, **settings: object) -> Trainer:
    net = network()
    return Trainer(
        net, snnr.optim.GradR(net.parameters(), lr=0.01, rng=2), data, batch_size=32, epochs=2,
        seed=5, checkpoint=path, **settings,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_training_goes_on_with_its_moves(tiny: Dataset, tmp_path: Path) -> None:
    """Also one of `Samples`, whose checkpoint once knew the kind alone."""
    whole = run(tiny, tmp_path / "a.h5", augment=SMALL)
    whole.fit()
    paper = run(tiny, tmp_path / "p.h5", augment="affine")
    paper.fit()
    assert list(state(whole)) != list(state(paper))
    for name, data, given in (("b.h5", tiny, SMALL), ("c.h5", Samples.of(tiny, SMALL), False)):
        part = run(data, tmp_path / name, augment=given, callbacks=[StopAt(8)])
        with pytest.raises(snnr.Interrupted):
            part.fit()
        again = Trainer.resume(tmp_path / name, tiny)
        assert again.augment == SMALL
        again.fit()
        assert list(state(again)) == list(state(whole))
    with pytest.raises(ConfigError, match="holds its own sources"):
        run(Samples.of(tiny, "affine"), tmp_path / "d.h5", augment=SMALL)


def test_of_a_run() -> None:
    settings = run_settings("mnist", moves="affine:degrees=7")
    assert (settings.moves, settings.augment) == ("affine:degrees=7.0", True)
    assert settings.as_config()["moves"] == "affine:degrees=7.0"
    assert run_settings("mnist").moves is None
    assert run_settings("mnist", recipe="paper", moves="affine:degrees=7").augment
    with pytest.raises(ConfigError, match="means augment"):
        run_settings("mnist", augment=False, moves="affine")


def test_of_a_command(tiny_file: Path, tmp_path: Path) -> None:
    net = ["--net", "fc8-lif-fc4-lif", "-T", "2", "--device", "cpu", "--batch-size", "20"]
    command = ["train", str(tiny_file), *net, "--out", str(tmp_path / "run"), "--json"]

    def called(*more: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, [*command, *more])
        assert done.exit_code == code, done.output
        return done.output if code else done.stdout

    called("--moves", "affine:degree=7", code=2)
    called("--epochs", "1", "--moves", "affine:degrees=7")
    found = snnr.load(tmp_path / "run")
    assert found.config["augment"] == found.config["moves"] == "affine:degrees=7.0"
    assert "not affine" in called("--epochs", "2", "--resume", "--moves", "affine", code=2)
    called("--epochs", "2", "--resume", "--moves", "affine:degrees=7")
    assert snnr.load(tmp_path / "run").epoch == 2
