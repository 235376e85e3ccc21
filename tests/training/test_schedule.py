"""Schedules of the learning rate: their numbers, their texts, and trainings under them."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from snnr.data import Dataset

import snnr
from snnr import optim
from snnr.errors import CheckpointError, ConfigError, Interrupted
from snnr.training import (
    Callback,
    Constant,
    Cosine,
    Schedule,
    Stairs,
    Trainer,
    resume,
    run_settings,
    start,
)
from snnr.training.schedule import SCHEDULES, canonical_schedule, schedule

from ..opaque import NAME, register
from .runs import StopAt, network, state, trainer

register()


def shares(text: str, steps: int) -> list[float]:
    return [schedule(text).share(step, steps) for step in range(steps)]


def test_each_schedule_gives_its_numbers() -> None:
    assert shares("constant", 4) == [1] * 4
    quarter = [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    assert shares("cosine", 4) == pytest.approx(quarter)
    assert shares("cosine:floor=0.2", 4) == pytest.approx([0.2 + 0.8 * q for q in quarter])
    assert shares("step", 8) == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)
    assert shares("step:factor=0.5,at=0.25", 4) == [1, 0.5, 0.5, 0.5]
    assert shares("step:factor=0,at=0.5", 4) == [1, 1, 0, 0]
    # a step after the last one, of a training that goes on by hand
    assert schedule("cosine:floor=0.2").share(9, 4) == 0.2


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_share_never_grows_and_starts_at_all(name: str) -> None:
    found = shares(name, 101)
    assert found[0] == 1
    assert all(a >= b >= 0 for a, b in pairwise(found))


def test_texts_that_name_one_schedule_are_one() -> None:
    for text in ("constant", "cosine", "step", "cosine:floor=0.05", "step:factor=0.3,at=0.6/0.9"):
        assert canonical_schedule(text) == text
    assert canonical_schedule(" Cosine:floor=0.0") == "cosine"
    # what Python strips from words is no part of a number either
    for text in ("step: at = 0.60/.9 , factor=3e-1", "step:at=.6\x1d/\x1c 0.9,factor=\x1f.3"):
        assert canonical_schedule(text) == "step:factor=0.3,at=0.6/0.9"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linear", "unknown schedule 'linear': expected one of constant, cosine, step, or"),
        ("cosine:top=1", r"'top=1' is no option of cosine; expected floor \(default 0.0\)"),
        ("constant:floor=1", "no option of constant; expected none"),
        ("cosine:floor=1,floor=1", "floor is given twice of cosine"),
        ("cosine:floor=x", r"floor \(='x'\) must be a number such as 0.01"),
        ("cosine:floor=1.5", r"floor \(=1.5\) of cosine must lie between 0 and 1"),
        ("step:factor=-1", r"factor \(='-1'\) must be a number"),
        ("step:at=0.5/", r"at \(='0.5/'\) must be numbers such as 0.5/0.75"),
        ("step:at=0.5/0.5", r"at \(=0.5/0.5\) of step must be shares of the training"),
        ("step:at=0.5/1", "between 0 and 1"),
        ("step:at=0/0.5", "between 0 and 1"),
        ("c" * 201, "at most 200 characters"),
        (7, "at most 200 characters"),
    ],
)
def test_what_makes_no_sense_is_refused(text: Any, message: str, tiny: Dataset) -> None:
    with pytest.raises(ConfigError, match=message):
        schedule(text)
    with pytest.raises(ConfigError, match=message):
        trainer(tiny, schedule=text)
    with pytest.raises(ConfigError, match=message):
        run_settings("mnist", schedule=text)


def test_stairs_without_a_step_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at \(=\) of step must be shares of the training"):
        SCHEDULES["step"](at=())  # type: ignore[call-arg]


class Rates(Callback):
    """Takes down with which lr each update is made, and what lr there is between two steps."""

    def __init__(self) -> None:
        self.within: list[float] = []
        self.between: list[float] = []

    def gradients(self, trainer: Trainer) -> None:
        self.within.append(trainer.optimizer.lr)

    def step(self, trainer: Trainer) -> None:
        self.between.append(trainer.optimizer.lr)


def test_each_step_takes_its_share(tiny: Dataset) -> None:
    seen = Rates()
    run = trainer(tiny, callbacks=[seen], schedule="cosine")
    run.fit()
    assert seen.within == [0.01 * share for share in shares("cosine", 18)]
    assert set(seen.between) == {0.01}
    ends = [seen.within[step] for step in (5, 11, 17)]
    assert run.history["settings"] == {"lr": ends, "prior": [0.3] * 3, "sparsity": [0.95] * 3}


def test_constant_is_what_a_training_without_a_schedule_does(
    tiny: Dataset, uninterrupted: list[bytes]
) -> None:
    run = trainer(tiny, schedule="constant")
    run.fit()
    assert list(state(run)) == uninterrupted


def test_a_rate_of_0_stands_still(tiny: Dataset) -> None:
    """Statistics of BatchNorm and the moments go on; no parameter does."""
    half = trainer(tiny, schedule="step:factor=0,at=0.5", callbacks=[StopAt(9)])
    with pytest.raises(Interrupted):
        half.fit()
    before = [p.numpy().copy() for p in half.network.parameters()]
    half.callbacks.clear()
    half.fit()
    assert half.epoch == 3
    for p, old in zip(half.network.parameters(), before, strict=True):
        assert p.numpy().tobytes() == old.tobytes()
    assert half.history["settings"]["lr"] == [0.01, 0, 0]
    assert half.optimizer.lr == 0.01


@pytest.mark.parametrize("text", ["cosine:floor=0.1", "step:at=0.3/0.7"])
def test_going_on_within_an_epoch_gives_the_same_bits(
    tiny: Dataset, tmp_path: Path, text: str
) -> None:
    whole = trainer(tiny, schedule=text)
    whole.fit()
    run = trainer(tiny, tmp_path / "c.h5", schedule=text, callbacks=[StopAt(8)])
    with pytest.raises(Interrupted):
        run.fit()
    run = Trainer.resume(tmp_path / "c.h5", tiny)
    assert (run.schedule, run.optimizer.lr, run.position) == (text, 0.01, 2)
    run.fit()
    assert list(state(run)) == list(state(whole))
    assert run.history["settings"] == whole.history["settings"]


@pytest.mark.parametrize(
    ("made", "text"),
    [(Constant(), "constant"), (Cosine(floor=0.1), "cosine:floor=0.1"),
     (Stairs(factor=0.5, at=(0.25,)), "step:factor=0.5,at=0.25")],
)  # fmt: skip
def test_a_schedule_that_is_made_is_saved_as_its_text(
    tiny: Dataset, tmp_path: Path, made: Schedule, text: str
) -> None:
    seen, same = Rates(), Rates()
    trainer(tiny, tmp_path / "c.h5", schedule=made, epochs=1, callbacks=[seen]).fit()
    trainer(tiny, schedule=text, epochs=1, callbacks=[same]).fit()
    assert seen.within == same.within
    assert Trainer.resume(tmp_path / "c.h5", tiny).schedule == text
    assert run_settings("mnist", schedule=made).schedule == text


def test_a_schedule_that_no_checkpoint_can_tell_is_refused(tiny: Dataset) -> None:
    class Mine(Cosine):
        NAME = "mine"

    with pytest.raises(ConfigError, match=r"\(a Mine\) must be one of .*lr in a callback"):
        trainer(tiny, schedule=Mine())


def test_more_epochs_stretch_the_schedule(tiny: Dataset, tmp_path: Path) -> None:
    trainer(tiny, tmp_path / "c.h5", schedule="cosine", epochs=1).fit()
    seen = Rates()
    longer = Trainer.resume(tmp_path / "c.h5", tiny, epochs=3, callbacks=[seen])
    longer.fit()
    assert seen.within == [0.01 * share for share in shares("cosine", 18)[6:]]


def test_a_rate_set_by_a_callback_stays(tiny: Dataset) -> None:
    class Lower(Callback):
        def gradients(self, trainer: Trainer) -> None:
            if trainer.position == 2 and trainer.epoch == 0:
                trainer.optimizer.lr = 0.004

    run = trainer(tiny, callbacks=[Lower()], schedule="cosine", epochs=1)
    run.fit()
    assert run.optimizer.lr == 0.004


def test_a_diverged_training_leaves_the_rate_alone(tiny: Dataset) -> None:
    class Poison(Callback):
        def gradients(self, trainer: Trainer) -> None:
            if trainer.position == 3:
                trainer.network[6].weight.grad[0, 0] = math.nan

    run = trainer(tiny, callbacks=[Poison()], schedule="cosine")
    with pytest.raises(snnr.DivergedError, match=r"lower lr \(=0.01\)"):
        run.fit()
    assert run.optimizer.lr == 0.01


def test_files_from_before_schedules_go_on_as_constant(tiny: Dataset, tmp_path: Path) -> None:
    trainer(tiny, tmp_path / "c.h5", epochs=2).fit()
    old = snnr.load(tmp_path / "c.h5")
    del old.config["schedule"], old.history["settings"]
    run = Trainer.resume(old, tiny, epochs=3)
    run.fit()
    assert run.schedule == run.config["schedule"] == "constant"
    assert run.history["settings"]["prior"] == [0.3] * 3


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (3, CheckpointError, "training is damaged"),
        ("linear", ConfigError, "unknown schedule"),
        ("step:at=2", ConfigError, "must be shares"),
    ],
)
def test_a_damaged_schedule_is_told(
    tiny: Dataset, tmp_path: Path, value: Any, kind: type[Exception], message: str
) -> None:
    trainer(tiny, tmp_path / "c.h5", epochs=1).fit()
    found = snnr.load(tmp_path / "c.h5")
    found.config["schedule"] = value
    with pytest.raises(kind, match=message):
        Trainer.resume(found, tiny)


def test_a_run_is_resumed_with_its_own_schedule(tiny_file: Path, tmp_path: Path) -> None:
    short = {"epochs": 1, "batch_size": 50, "timesteps": 2}
    start(run_settings(str(tiny_file), **short, schedule="cosine"), tmp_path / "c.h5").fit()
    assert resume(tmp_path / "c.h5", {"schedule": " COSINE:floor=0"}).schedule == "cosine"
    with pytest.raises(ConfigError, match="was trained with schedule cosine, not step"):
        resume(tmp_path / "c.h5", {"schedule": "step"})
    start(run_settings(str(tiny_file), **short), tmp_path / "old.h5").fit()
    old = snnr.load(tmp_path / "old.h5")
    del old.config["schedule"]
    assert resume(old, {"schedule": "constant"}).schedule == "constant"


def test_recorded_steps_take_their_shares(tiny: Dataset) -> None:
    """One recording for all steps: the rate is among the numbers that lie in memory."""
    runs = []
    for device in ("reference", NAME):
        net = network().to(device)
        optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.3)
        runs.append(Trainer(net, optimizer, tiny, 32, 2, schedule="cosine"))
        runs[-1].fit()
    plain, recorded = runs
    assert recorded._step.recorder is not None
    assert recorded._step.recorder.replays == 11
    assert list(state(recorded)) == list(state(plain))
