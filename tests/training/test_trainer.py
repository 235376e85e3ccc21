"""The trainer: history, checkpoints, signals, divergence, and resuming bit for bit."""

import contextlib
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import optim
from snnr.training import Callback, Trainer

from .runs import StopAt, network, state, trainer


def test_learns_and_writes_history(tiny: Dataset, tmp_path: Path) -> None:
    run = trainer(tiny, tmp_path / "c.h5", augment=False, epochs=4)
    history = run.fit()
    assert history["epoch"] == [1, 2, 3, 4]
    assert history["test_accuracy"][-1] > 0.5
    assert history["train_loss"][-1] < history["train_loss"][0]
    assert all(value > 0 for value in history["seconds"])
    assert history["connectivity"][-1] == snnr.metrics.connectivity(run.network) < 1
    assert set(history["pruned"]) == set(history["layer_connectivity"]) == {
        "0_conv2d", "6_linear",
    }  # fmt: skip
    assert set(history["firing_rate"]) == set(history["silent"]) == {"2_lif", "7_lif"}
    assert all(len(column) == 4 for column in history["regrown"].values())
    weights = {"0_conv2d": 45, "6_linear": 320}
    for name, size in weights.items():
        gone = np.cumsum(history["pruned"][name]) - np.cumsum(history["regrown"][name])
        np.testing.assert_allclose(1 - gone / size, history["layer_connectivity"][name])
    found = snnr.load(tmp_path / "c.h5")
    assert found.history == history
    assert (found.epoch, found.step) == (4, 4 * (200 // 32))
    assert found.accuracy == history["test_accuracy"][-1]
    assert found.order is None
    assert found.config["batch_size"] == 32
    result = run.evaluate()
    assert result.accuracy == history["test_accuracy"][-1]
    assert result.loss == history["test_loss"][-1]


@pytest.mark.parametrize("epochs", [1, 2])
def test_resume_after_an_epoch(
    tiny: Dataset, tmp_path: Path, uninterrupted: list[bytes], epochs: int
) -> None:
    trainer(tiny, tmp_path / "c.h5", epochs=epochs).fit()
    run = Trainer.resume(tmp_path / "c.h5", tiny, epochs=3)
    run.fit()
    assert list(state(run)) == uninterrupted


@pytest.mark.parametrize(
    ("steps", "testing"), [(1, False), (5, False), (6, False), (9, False), (6, True), (18, True)]
)
def test_resume_after_ctrl_c(
    tiny: Dataset, tmp_path: Path, uninterrupted: list[bytes], steps: int, testing: bool
) -> None:
    run = trainer(tiny, tmp_path / "c.h5", callbacks=[StopAt(steps, testing)])
    with pytest.raises(snnr.Interrupted, match=r"saved to .*c\.h5"):
        run.fit()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert snnr.load(tmp_path / "c.h5").step == steps
    again = Trainer.resume(tmp_path / "c.h5", tiny)
    assert again.epoch * 6 + again.position == steps
    again.fit()
    assert list(state(again)) == uninterrupted


def test_resume_twice_within_an_epoch(
    tiny: Dataset, tmp_path: Path, uninterrupted: list[bytes]
) -> None:
    run = trainer(tiny, tmp_path / "c.h5", callbacks=[StopAt(8)])
    for steps in (2, 1):
        with pytest.raises(snnr.Interrupted):
            run.fit()
        run = Trainer.resume(tmp_path / "c.h5", tiny, callbacks=[StopAt(steps)])
    with pytest.raises(snnr.Interrupted):
        run.fit()
    run = Trainer.resume(tmp_path / "c.h5", tiny)
    run.fit()
    assert list(state(run)) == uninterrupted


def test_ctrl_c_without_a_checkpoint(tiny: Dataset) -> None:
    with pytest.raises(snnr.Interrupted, match="nothing saved"):
        trainer(tiny, callbacks=[StopAt(1)]).fit()


def test_second_ctrl_c_stops_at_once(tiny: Dataset, tmp_path: Path) -> None:
    class Impatient(Callback):
        def step(self, trainer: Trainer) -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        trainer(tiny, tmp_path / "c.h5", callbacks=[Impatient()]).fit()
    assert not isinstance(caught.value, snnr.Interrupted)
    assert not (tmp_path / "c.h5").exists()


def test_the_seed_decides(tiny: Dataset, uninterrupted: list[bytes]) -> None:
    same, other = trainer(tiny), trainer(tiny, seed=6)
    same.fit()
    other.fit()
    assert list(state(same)) == uninterrupted
    assert list(state(other)) != uninterrupted


@pytest.mark.parametrize(("index", "name"), [(0, r"0_conv2d\.weight"), (6, r"6_linear\.bias")])
def test_divergence_names_step_and_layer(
    tiny: Dataset, tmp_path: Path, index: int, name: str
) -> None:
    class Poison(Callback):
        def step(self, trainer: Trainer) -> None:
            if trainer.epoch == 1 and trainer.position == 2:
                trainer.network[index].parameters()[-1].data[0] = np.nan

    run = trainer(tiny, tmp_path / "c.h5", callbacks=[Poison()])
    with pytest.raises(snnr.DivergedError, match=rf"step 9 \(epoch 2\): {name} is not finite") as e:
        run.fit()
    assert "lower lr" in str(e.value)
    assert snnr.load(tmp_path / "c.h5").epoch == 1


def test_divergence_by_a_huge_learning_rate(tiny: Dataset) -> None:
    run = trainer(tiny, augment=False)
    run.optimizer.lr = 1e38
    with np.errstate(all="ignore"), pytest.raises(snnr.DivergedError, match="is not finite"):
        run.fit()


def test_the_last_small_batch_is_left_out(tiny: Dataset) -> None:
    run = trainer(tiny, epochs=1, batch_size=64)
    run.fit()
    assert (run.batches, run.optimizer.step_count) == (3, 3)


def test_cross_entropy_and_plain_adam(tiny: Dataset) -> None:
    net = network()
    run = Trainer(net, optim.Adam(net.parameters(), lr=0.01), tiny, 20, 4, loss="cross-entropy")
    history = run.fit()
    assert history["test_accuracy"][-1] > 0.5
    assert history["connectivity"] == [1.0] * 4
    assert history["pruned"]["0_conv2d"] == [0] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 201}, r"batch_size \(=201\) must lie between 1 and 200"),
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": -1}, r"epochs \(=-1\)"),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
        ({"augment": True}, "has no augmentation of its own"),
        ({"augment": "twirl"}, "unknown augment 'twirl'"),
    ],
)
def test_settings_are_checked(tiny: Dataset, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        trainer(tiny, **settings)


def test_a_pair_of_arrays_is_no_data_set():
    network = snnr.models.mnist_fc(T=1)
    images = np.zeros((4, 1, 28, 28), np.uint8), np.zeros(4, np.int64)
    with pytest.raises(snnr.ConfigError, match=r"\(a tuple\) must come from snnr.data.load"):
        snnr.Trainer(network, snnr.optim.Adam(network.parameters()), images)


def test_resume_needs_the_same_images(tiny: Dataset, tiny_file: Path, tmp_path: Path) -> None:
    trainer(tiny, tmp_path / "c.h5", epochs=1).fit()
    with pytest.raises(snnr.ConfigError, match="200 images of"):
        Trainer.resume(tmp_path / "c.h5", snnr.data.load(tiny_file, limit_train=100))
    net = network()
    snnr.save(tmp_path / "d.h5", net)
    with pytest.raises(snnr.CheckpointError, match="no training can go on"):
        Trainer.resume(tmp_path / "d.h5", tiny)


def test_a_tampered_progress_is_refused(tiny: Dataset, tmp_path: Path) -> None:
    run = trainer(tiny, tmp_path / "c.h5", callbacks=[StopAt(2)])
    with pytest.raises(snnr.Interrupted):
        run.fit()
    changed = snnr.load(tmp_path / "c.h5").rng_state["progress"]["changed"]
    for change in (
        {"position": 99}, {"position": "x"}, {"loss_sum": None}, {"seconds": "1"}, {"correct": -1},
        {"changed": None}, {"changed": {}}, {"changed": dict.fromkeys(changed, "?")},
        {"changed": dict.fromkeys(changed, "AAAA")}, {"changed": dict.fromkeys(changed, 5)},
        {"changed": dict.fromkeys(changed, changed["0_conv2d.weight"])},
        {"changed": {name: f"?{text}" for name, text in changed.items()}},
    ):  # fmt: skip
        found = snnr.load(tmp_path / "c.h5")
        found.rng_state["progress"].update(change)
        with pytest.raises(snnr.CheckpointError, match="state of the training is damaged"):
            Trainer.resume(found, tiny)
    found = snnr.load(tmp_path / "c.h5")
    found.config["data"] = "tiny"
    with pytest.raises(snnr.ConfigError, match="resume with the data set it was started with"):
        Trainer.resume(found, tiny)
    found = snnr.load(tmp_path / "c.h5")
    assert found.order is not None
    found.order[0] = found.order[1]
    with pytest.raises(snnr.CheckpointError, match="not a permutation"):
        Trainer.resume(found, tiny)


def test_a_stop_of_an_older_version_goes_on_with_the_same_weights(
    tiny: Dataset, tmp_path: Path, uninterrupted: list[bytes]
) -> None:
    """Version 1 kept counts of every change in place of where connections had been."""
    with pytest.raises(snnr.Interrupted):
        trainer(tiny, tmp_path / "c.h5", callbacks=[StopAt(9)]).fit()
    found = snnr.load(tmp_path / "c.h5")
    progress = found.rng_state["progress"]
    del progress["changed"]
    progress["changes"] = {"0_conv2d.weight": [3, 1], "6_linear.weight": [9, 0]}
    run = Trainer.resume(found, tiny)
    run.fit()
    assert list(state(run))[:-1] == uninterrupted[:-1]


def test_training_leaves_the_images_alone(tiny: Dataset) -> None:
    before = tiny.x_train.copy()
    trainer(tiny, epochs=1).fit()
    np.testing.assert_array_equal(tiny.x_train, before)


class Signals(Callback):
    """Receives signals, one after the other, in one step."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def step(self, trainer: Trainer) -> None:
        for number in self.numbers:
            signal.raise_signal(number)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals")
def test_signals_that_follow_the_first_change_nothing_but_ctrl_c_stops_at_once(
    tiny: Dataset, tmp_path: Path
) -> None:
    several = Signals(signal.SIGHUP, signal.SIGTERM, signal.SIGTERM)
    run = trainer(tiny, tmp_path / "c.h5", callbacks=[several])
    with pytest.raises(snnr.Interrupted, match="saved to") as caught:
        run.fit()
    assert caught.value.signal == signal.SIGHUP
    assert snnr.load(tmp_path / "c.h5").step == 1
    run = trainer(tiny, tmp_path / "d.h5", callbacks=[Signals(signal.SIGTERM, signal.SIGINT)])
    with pytest.raises(KeyboardInterrupt, match="at once") as stopped:
        run.fit()
    assert not isinstance(stopped.value, snnr.Interrupted)
    assert not (tmp_path / "d.h5").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_that_somebody_swallowed_is_heard_again(tiny: Dataset) -> None:
    class Deaf(Callback):
        def step(self, trainer: Trainer) -> None:
            signal.raise_signal(signal.SIGINT)
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="at once"):
        trainer(tiny, callbacks=[Deaf()]).fit()


def test_a_folder_that_cannot_be_written_is_noticed_before_the_first_step(
    tiny: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    run = trainer(tiny, tmp_path / "file" / "c.h5")
    with pytest.raises(snnr.CheckpointError, match="cannot be written"):
        run.fit()
    assert (run.epoch, run.position, run.optimizer.step_count) == (0, 0, 0)
