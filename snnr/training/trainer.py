"""The loop over batches: shuffling, loss, history, checkpoints, and a stop that loses nothing."""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import CHECKPOINT, Checkpoint, check, load, save
from snnr.checkpoint.file import probe
from snnr.data import Dataset
from snnr.errors import ConfigError, DivergedError, Interrupted
from snnr.input import Moves, Samples
from snnr.interrupt import AtOnce, Stop, Stopped
from snnr.metrics import layer_connectivity
from snnr.nn import Layer, Sequential
from snnr.optim import Optimizer
from snnr.tensor import Tensor
from snnr.training.advice import cautions
from snnr.training.callback import Callback, has_seam
from snnr.training.diagnosis import first_not_finite
from snnr.training.evaluation import Evaluation, evaluate, fitting_batch
from snnr.training.folder import Best, RunFolder
from snnr.training.given import (
    SETTINGS,
    check_kinds,
    check_moves,
    check_whole,
    samples_of,
    settings_of,
)
from snnr.training.health import ailments
from snnr.training.lines import Lines
from snnr.training.losses import loss_function
from snnr.training.schedule import Schedule, scaled
from snnr.training.schedule import schedule as read_schedule
from snnr.training.state import TrainingState, moving_settings
from snnr.training.step import Step


class Trainer:
    """Trains a network on a data set.

    Parameters
    ----------
    network, optimizer : the optimizer holds parameters of the network.
    dataset : from `snnr.data.load`, or `snnr.input.Samples`: sequences of spikes, own sources.
    batch_size : images per step; a last batch that is smaller is left out.
    epochs : passes over the training images, in all.
    loss : "mse" (rates against one-hot, the paper's) or "cross-entropy".
    augment : move training images at random: True takes the data set's way; or "affine" or
        "crop-flip", also with options ("affine:degrees=7"), or `Affine(degrees=7)`, see
        `snnr.input.moves`. `Samples` say themselves how they move.
    seed : of the order of the images and of the moves.
    schedule : of the optimizer's lr: "constant", "cosine" or "step", also with options
        ("cosine:floor=0.01"), or `Cosine(floor=0.01)`, see `snnr.training.schedule`. It spans
        all epochs, so that a training that is resumed with more of them goes on at their place in
        the longer one.
    callbacks : see `Callback`.
    checkpoint : file that is written after every epoch and when a signal (Ctrl-C, SIGTERM, SIGHUP)
        stops the training; None saves nothing. One by the name of checkpoint.h5 has the folder of a
        run: best.h5, history.csv and log.txt are kept beside it, see `snnr.training.folder`.
    config : more JSON values to keep in the checkpoint.

    Attributes: `epoch` (completed), `position` (steps done in the current epoch), `batches` (steps
    per epoch), `history` (columns, groups of columns per layer), `mean_loss` (of this epoch so
    far).

    Raises
    ------
    ConfigError : a setting makes no sense or does not fit the data set, or the optimizer moves
        nothing of the network.
    CheckpointError : a checkpoint could not hold the network or the optimizer.
    """

    def __init__(
        self,
        network: Layer,
        optimizer: Optimizer,
        dataset: Dataset | Samples,
        batch_size: int = 128,
        epochs: int = 20,
        loss: str = "mse",
        augment: bool | str | Moves | None = False,
        seed: int = 0,
        callbacks: Iterable[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | None = None,
        schedule: str | Schedule = "constant",
    ) -> None:
        check_kinds(network, optimizer, callbacks)
        self._schedule = read_schedule(schedule)
        self.samples = samples_of(dataset, augment, network.device)
        count = self.samples.train.count
        check_whole("batch_size", batch_size)
        check_whole("epochs", epochs)
        if not 1 <= batch_size <= count:
            raise ConfigError(
                f"batch_size (={batch_size}) must lie between 1 and {count}, the number of "
                f"training images of {self.samples.name}"
            )
        if epochs < 0:
            raise ConfigError(f"epochs (={epochs}) must not be negative")
        check_moves(optimizer, network)
        if checkpoint is not None:
            check(network, optimizer)
        self.network = network
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.epochs = epochs
        self.loss = loss
        self.seed = seed
        self.schedule = str(self._schedule)
        self.callbacks = list(callbacks)
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.batches = count // batch_size
        self.augment = self.samples.train.kind
        self.config = {**(config or {}), **{key: getattr(self, key) for key in SETTINGS}}
        self.config["data"] = self.samples.about()
        self._step = Step(network, optimizer, loss_function(loss), self.samples.train.device)
        self.state = TrainingState(seed, self._step.tally)
        self._evaluation_batch: int | None = None
        self._stop: Stop | None = None  # of the `fit` that runs
        self._saved = False
        run = self.checkpoint is not None and self.checkpoint.name == CHECKPOINT
        self._folder = RunFolder(self.checkpoint) if self.checkpoint and run else None
        self._own: list[Callback] = [self._folder.log] if self._folder else []

    @classmethod
    def resume(
        cls,
        checkpoint: str | os.PathLike[str] | Checkpoint,
        dataset: Dataset | Samples,
        epochs: int | None = None,
        callbacks: Iterable[Callback] = (),
        device: str = "cpu",
    ) -> Self:
        """Go on where a checkpoint stopped, even inside of an epoch; it is written again.

        With the same number of threads the result has the same bits as a training that never
        stopped. `epochs` replaces the number of epochs in all.

        Raises
        ------
        CheckpointError : it cannot be read, was not written by a `Trainer` or has no optimizer.
        ConfigError : the data set is not the one of the checkpoint.
        """
        found = checkpoint if isinstance(checkpoint, Checkpoint) else load(checkpoint, device)
        settings = settings_of(found)
        known = found.config["data"] if isinstance(found.config["data"], dict) else {}
        samples = samples_of(dataset, settings["augment"], found.network.device)
        about = samples.about()
        if any(known.get(key) != about.get(key) for key in ("images", "image_shape", "timesteps")):
            raise ConfigError(
                f"{found.path} was trained on {known.get('images')} images of "
                f"{known.get('image_shape')}, {samples.name} has {about['images']} of "
                f"{about['image_shape']}; resume with the data set it was started with"
            )
        if epochs is not None:
            settings["epochs"] = epochs
        assert found.optimizer is not None
        trainer = cls(
            found.network,
            found.optimizer,
            samples,
            callbacks=callbacks,
            checkpoint=found.path,
            config=found.config,
            **settings,
        )
        trainer.state.restore(
            found, found.network.parameters(), trainer.batches, samples.train.count,
            moving_settings(found.optimizer),
        )  # fmt: skip
        trainer._saved = True
        return trainer

    def __repr__(self) -> str:
        return (
            f"Trainer({self.samples.name!r}, {type(self.network).__name__}, "
            f"{type(self.optimizer).__name__}, epoch {self.epoch} of {self.epochs}, "
            f"batch_size={self.batch_size}, {self.network.device})"
        )

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self.state.epoch

    @property
    def position(self) -> int:
        """Steps done in the current epoch."""
        return self.state.position

    @property
    def history(self) -> dict[str, Any]:
        """Columns with one entry per epoch, and groups of such columns by layer."""
        return self.state.history

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the steps of this epoch; waits for the device."""
        return self.state.mean_loss

    @property
    def warnings(self) -> list[str]:
        """What was wrong with the network at the end of the last epoch, in sentences that say what
        to try: a layer without a connection or without a spike, guesses."""
        if not self.history["epoch"]:
            return []
        row = {
            key: {name: column[-1] for name, column in columns.items()}
            if isinstance(columns, dict)
            else columns[-1]
            for key, columns in self.history.items()
        }
        settings = {**self.optimizer.settings.as_dict(), "schedule": self.schedule}
        return ailments(row, self.samples.classes, self.samples.test.count, settings)

    @property
    def saved(self) -> bool:
        """Whether `checkpoint` holds this training: it was resumed from it, or saved there."""
        return self._saved

    @property
    def best(self) -> Best | None:
        """The epoch that ``best.h5`` in the folder of a run holds; None where there is none."""
        return None if self._folder is None else self._folder.best

    def fit(self, progress: bool = False) -> dict[str, Any]:
        """Train up to `epochs` and return the history.

        progress : write a line to stderr after each epoch.

        Raises
        ------
        DivergedError : loss or gradients are not finite; on a host device the weights are those
            before the step. The last checkpoint stays.
        Interrupted : Ctrl-C, SIGTERM or SIGHUP; saved first, when there is a checkpoint.
        CheckpointError : the checkpoint cannot be written, which is noticed before the first step.
        """
        if self.checkpoint is not None and self.epoch < self.epochs:
            probe(self.checkpoint)
        if self._folder is not None:
            self._folder.begin(self)
        self.optimizer.begin(self.network, self.epochs * self.batches)
        lines = [Lines()] if progress else []
        self._own += lines
        try:
            with Stop(self._announce_stop) as stop:
                self._stop = stop
                self._followed(stop)
        finally:
            self._stop = None
            self._own = [one for one in self._own if one not in lines]
        return self.history

    def _followed(self, stop: Stop) -> None:
        """Train, from `Callback.begin` to `Callback.end`."""
        for callback in self._followers():
            callback.begin(self)
        if not self.epoch + self.position:
            for text in cautions(self.optimizer, self._schedule, self.epochs * self.batches):
                for callback in self._followers():
                    callback.warning(self, text)
        try:
            self._run_epochs(stop)
        except BaseException as error:
            for callback in self._followers():
                callback.end(self, error)
            raise
        for callback in self._followers():
            callback.end(self, None)

    def _run_epochs(self, stop: Stop) -> None:
        try:
            while self.epoch < self.epochs:
                self._run_epoch(stop)
                if self.epoch < self.epochs:
                    stop.heed()
        except Stopped as stopped:
            self._interrupted(stopped.signal)

    def _followers(self) -> list[Callback]:
        return [*self._own, *self.callbacks]

    def stop(self) -> None:
        """Ask a `fit` that runs to save and stop after its step, as SIGTERM does: for callbacks and
        other threads."""
        if self._stop is not None:
            self._stop.request()

    def evaluate(self) -> Evaluation:
        """Loss, accuracy and activity on the test images."""
        return self._evaluate(None)

    def save(self) -> None:
        """Write the checkpoint; a training that has none saves nothing."""
        if self.checkpoint is None:
            return
        assert isinstance(self.network, Sequential)  # checked at the start
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        accuracies = self.history["test_accuracy"]
        save(
            self.checkpoint,
            self.network,
            self.optimizer,
            history=self.history,
            config=self.config,
            rng_state=self.state.saved(self.network.parameters()),
            epoch=self.epoch,
            accuracy=accuracies[-1] if accuracies else None,
            order=self.state.order,
        )
        self._saved = True
        if self._folder is not None:
            self._folder.saved(self)

    def _run_epoch(self, stop: Stop) -> None:
        state = self.state
        started = time.perf_counter() - state.seconds
        state.begin(self.network.parameters())
        if state.order is None:
            state.order = state.rng.permutation(self.samples.train.count)
        self.network.train()
        while state.position < self.batches:
            self._take(state.order)
            for callback in self._followers():
                callback.step(self)
            if stop.requested:
                state.seconds = time.perf_counter() - started
                stop.heed()
        self._check_finite()
        state.seconds = time.perf_counter() - started
        result = self._evaluate(stop)
        state.seconds = time.perf_counter() - started
        row = self._row(result)
        before = self.warnings
        state.finish(row)
        try:
            for callback in self._followers():
                callback.epoch(self, row)
                for text in self.warnings:
                    if text not in before:
                        callback.warning(self, text)
        except AtOnce:
            raise
        except BaseException:
            self.save()  # the epoch is done, whatever one who follows it makes of that
            raise
        self.save()

    def _take(self, order: NDArray[np.int64]) -> None:
        start = self.position * self.batch_size
        index = order[start : start + self.batch_size]
        batch = self._step.batch(self.samples.train, index, self.state.rng)
        seam = self._seam if has_seam(self.callbacks) else None
        with scaled(self.optimizer, self._share(self.position)):
            fine = self._step.take(batch, self.samples.y_train[index], seam)
        if not fine:
            raise DivergedError(self._diagnosis(batch))
        self.state.position += 1

    def _share(self, position: int) -> float:
        """What a step of this epoch takes of the learning rate."""
        step = self.epoch * self.batches + position
        return self._schedule.share(step, self.epochs * self.batches)

    def _check_finite(self) -> None:
        """Before anything is kept of steps that a device took and nobody looked at."""
        if not self._step.finite():
            order = self.state.order
            batch = self.samples.train.batch([0] if order is None else order[: self.batch_size])
            raise DivergedError(self._diagnosis(batch))

    def _seam(self) -> None:
        for callback in self.callbacks:
            callback.gradients(self)

    def _evaluate(self, stop: Stop | None) -> Evaluation:
        def report(done: int, total: int) -> None:
            if stop is not None:
                stop.heed()
            for callback in self._followers():
                callback.evaluation(done, total)

        if self._evaluation_batch is None:
            self._evaluation_batch = fitting_batch(self.network, self.samples.test)
        return evaluate(
            self.network, self.samples.test, self.samples.y_test, self.loss,
            self._evaluation_batch, report=report,
        )  # fmt: skip

    def _row(self, result: Evaluation) -> dict[str, Any]:
        """The row of the history of the epoch that ends."""
        layers = layer_connectivity(self.network)
        # one weight for each of them, in the same order
        changes = self.state.changes(self.network.parameters()).values()
        counted = dict(zip((part.name for part in layers), changes, strict=True))
        neurons = result.activity.neurons.values() if result.activity else ()
        lr = self.optimizer.lr * self._share(self.batches - 1)
        return {
            "epoch": self.epoch + 1,
            "train_loss": self.mean_loss,
            "train_accuracy": self.state.tally.correct / (self.batches * self.batch_size),
            "test_loss": result.loss,
            "test_accuracy": result.accuracy,
            "connectivity": sum(c.nonzero for c in layers) / max(sum(c.weights for c in layers), 1),
            "seconds": self.state.seconds,
            "pruned": {name: pruned for name, (pruned, _) in counted.items()},
            "regrown": {name: regrown for name, (_, regrown) in counted.items()},
            "layer_connectivity": {c.name: c.connectivity for c in layers},
            "firing_rate": {n.name: n.firing_rate for n in neurons},
            "silent": {n.name: n.silent for n in neurons},
            "settings": {**moving_settings(self.optimizer), "lr": lr},
        }

    def _diagnosis(self, batch: Tensor) -> str:
        """Says at which step and in which layer something stopped being finite."""
        step = self.epoch * self.batches + self.position + 1
        where = first_not_finite(self.network, self.optimizer.params, batch)
        kept = f"; the last checkpoint is {self.checkpoint}" if self._saved else ""
        return (
            f"training diverged at step {step} (epoch {self.epoch + 1}): {where} not finite; "
            f"lower lr (={self.optimizer.lr:g}){kept}"
        )

    def _announce_stop(self) -> None:
        for callback in self._followers():
            callback.stopping()

    def _interrupted(self, number: int) -> NoReturn:
        self._check_finite()
        self.save()
        place = f"epoch {self.epoch + 1}, step {self.position} of {self.batches}"
        if self.checkpoint is None:
            raise Interrupted(
                f"interrupted in {place}; nothing saved, there is no checkpoint file", number
            )
        raise Interrupted(f"interrupted in {place}; saved to {self.checkpoint}", number)
