"""What callbacks set at the end of an epoch is in its checkpoint, whatever becomes of them."""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from snnr.data import Dataset

import snnr
from snnr.optim import METHODS
from snnr.training import Callback, Trainer
from snnr.training.state import moving_settings

from .runs import state, trainer
from .test_resume import begun, everything


class Hands(Callback):
    """Turns every setting that may move, a neuron's threshold, and cuts a weight."""

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        for name, value in moving_settings(trainer.optimizer).items():
            if name == "steps":
                continue  # of the training in all, which `fit` says
            setattr(trainer.optimizer, name, value * (0.9 if name == "sparsity" else 0.7))
        trainer.network[2].v_threshold *= 0.9
        if trainer.optimizer.METHOD == "dense":
            trainer.network[1].weight.data[trainer.epoch] = 0


class Copies(Trainer):
    """Keeps the checkpoint of the first epoch, as a kill right after it would leave it."""

    def save(self) -> None:
        super().save()
        if self.checkpoint is not None and self.epoch == 1 and self.position == 0:
            shutil.copy(self.checkpoint, self.checkpoint.with_name("first.h5"))


@pytest.mark.parametrize("method", METHODS)
def test_what_a_callback_sets_outlives_a_kill(tiny: Dataset, tmp_path: Path, method: str) -> None:
    case = {
        "method": method, "network": "dense", "augment": False, "seed": 3, "device": "cpu",
        "loss": "mse",
    }  # fmt: skip
    whole = begun(tiny, case, tmp_path / "c.h5")
    whole.__class__ = Copies
    whole.callbacks.append(Hands())
    lr = whole.optimizer.lr
    whole.fit()
    assert whole.optimizer.lr == pytest.approx(lr * 0.49)
    first = snnr.load(tmp_path / "first.h5")
    assert first.optimizer is not None
    assert first.optimizer.lr == pytest.approx(lr * 0.7)
    assert first.network[2].v_threshold == pytest.approx(0.9)
    again = Trainer.resume(tmp_path / "first.h5", tiny, callbacks=[Hands()])
    again.fit()
    assert dict(everything(again)) == dict(everything(whole))


class Fails(Callback):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        trainer.optimizer.lr /= 2
        if row["epoch"] == 2:
            raise self.error


@pytest.mark.parametrize("error", [OSError("no board"), KeyboardInterrupt("by hand")], ids=repr)
def test_a_callback_that_fails_loses_no_epoch(
    tiny: Dataset, tmp_path: Path, error: BaseException
) -> None:
    run = trainer(tiny, tmp_path / "c.h5", callbacks=[Fails(error)])
    with pytest.raises(type(error), match=str(error)):
        run.fit()
    assert snnr.load(tmp_path / "c.h5").epoch == 2
    run = Trainer.resume(tmp_path / "c.h5", tiny)
    assert run.optimizer.lr == 0.0025
    run.fit()
    whole = trainer(tiny)
    whole.callbacks.append(Fails(error))
    with pytest.raises(type(error)):
        whole.fit()
    whole.callbacks.clear()
    whole.fit()
    assert list(state(run)) == list(state(whole))


def test_ctrl_c_twice_in_a_callback_saves_nothing(tiny: Dataset, tmp_path: Path) -> None:
    class Impatient(Callback):
        def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
            if row["epoch"] == 2:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="at once"):
        trainer(tiny, tmp_path / "c.h5", callbacks=[Impatient()]).fit()
    assert snnr.load(tmp_path / "c.h5").epoch == 1


def test_an_epoch_ends_with_its_checkpoint(tiny: Dataset, tmp_path: Path) -> None:
    found: list[tuple[str, int]] = []

    class Looks(Callback):
        def evaluation(self, done: int, total: int) -> None:
            self.note("evaluation")

        def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
            assert trainer.history["epoch"][-1] == row["epoch"] == trainer.epoch
            self.note("epoch")

        def note(self, event: str) -> None:
            path = tmp_path / "c.h5"
            now = (event, snnr.load(path).epoch if path.exists() else 0)
            if now not in found[-1:]:
                found.append(now)

    trainer(tiny, tmp_path / "c.h5", epochs=2, callbacks=[Looks()]).fit()
    assert found == [("evaluation", 0), ("epoch", 0), ("evaluation", 1), ("epoch", 1)]
    assert snnr.load(tmp_path / "c.h5").epoch == 2
