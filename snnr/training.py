"""The loop over batches: shuffling, loss, history, checkpoints, and a stop that loses nothing."""

import math
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from snnr import kernels
from snnr.augment import KINDS, Augmenter, Kind
from snnr.checkpoint import Checkpoint, load, save
from snnr.checkpoint.file import probe
from snnr.checkpoint.layout import (
    COLUMNS,
    LAYER_COLUMNS,
    generator_state,
    restore_generator,
)
from snnr.data import Dataset
from snnr.diagnosis import first_not_finite, gradients_are_finite
from snnr.errors import CheckpointError, ConfigError, DivergedError, Interrupted
from snnr.evaluation import Evaluation, evaluate, fitting_batch, loss_function, rates
from snnr.interrupt import Stop, Stopped
from snnr.metrics import layer_connectivity
from snnr.nn import Sequential
from snnr.optim import Optimizer

_SETTINGS = ("batch_size", "epochs", "loss", "augment", "seed")


class Callback:
    """Base of what a `Trainer` calls; override what is of interest."""

    def step(self, trainer: "Trainer") -> None:
        """After each optimizer step."""

    def evaluation(self, done: int, total: int) -> None:
        """After each batch of an evaluation: images done, and in all."""

    def epoch(self, trainer: "Trainer", row: Mapping[str, Any]) -> None:
        """After each epoch, with its row of the history."""

    def stopping(self) -> None:
        """When a signal asks to stop (Ctrl-C); the step that runs is finished first."""


class Trainer:
    """Trains a network on a data set.

    Parameters
    ----------
    network, optimizer : the optimizer holds the network's parameters.
    dataset : from `snnr.data.load`.
    batch_size : images per step; a last batch that is smaller is left out.
    epochs : passes over the training images, in all.
    loss : "mse" (rates against one-hot, the paper's) or "cross-entropy".
    augment : move training images at random: True takes the data set's kind; or "affine",
        "crop-flip".
    seed : of the order of the images and of the moves.
    callbacks : see `Callback`.
    checkpoint : file that is written after every epoch and when a signal (Ctrl-C, SIGTERM, SIGHUP)
        stops the training; None saves nothing.
    config : more JSON values to keep in the checkpoint.

    Attributes: `epoch` (completed), `position` (steps done in the current epoch), `batches` (steps
    per epoch), `history` (columns, groups of columns per layer), `mean_loss` (of this epoch so
    far).

    Raises
    ------
    ConfigError : a setting makes no sense or does not fit the data set.
    """

    def __init__(
        self,
        network: Sequential,
        optimizer: Optimizer,
        dataset: Dataset,
        batch_size: int = 128,
        epochs: int = 20,
        loss: str = "mse",
        augment: bool | Kind = False,
        seed: int = 0,
        callbacks: Iterable[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        images = len(dataset.x_train)
        if batch_size < 1 or batch_size > images:
            raise ConfigError(
                f"batch_size (={batch_size}) must lie between 1 and {images}, the number of "
                f"training images of {dataset.name}"
            )
        if epochs < 0:
            raise ConfigError(f"epochs (={epochs}) must not be negative")
        self.network = network
        self.optimizer = optimizer
        self.dataset = dataset
        self.batch_size = batch_size
        self.epochs = epochs
        self.loss = loss
        self.seed = seed
        self.callbacks = list(callbacks)
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.batches = images // batch_size
        self.augment = _kind(augment, dataset)
        self.augmenter = Augmenter(
            self.augment, dataset.mean, dataset.std, kernels.table(network.device)
        )
        self.config = {**(config or {}), **{key: getattr(self, key) for key in _SETTINGS}}
        self.config["data"] = {
            "name": dataset.name,
            "images": images,
            "image_shape": list(dataset.image_shape),
            "classes": dataset.classes,
            "mean": list(dataset.mean),
            "std": list(dataset.std),
        }
        self.rng = np.random.default_rng(seed)
        self.history: dict[str, Any] = {name: [] for name in COLUMNS}
        self.history |= {name: {} for name in LAYER_COLUMNS}
        self.epoch = 0
        self.position = 0
        self._criterion = loss_function(loss)
        self._order: NDArray[np.int64] | None = None
        self._loss_sum = 0.0
        self._correct = 0
        self._seconds = 0.0
        self._buffer: NDArray[np.float32] | None = None
        self._evaluation_batch: int | None = None
        self._saved = False  # whether `checkpoint` holds this training

    @classmethod
    def resume(
        cls,
        checkpoint: str | os.PathLike[str] | Checkpoint,
        dataset: Dataset,
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
        config = found.config
        missing = [key for key in (*_SETTINGS, "data") if key not in config]
        if found.optimizer is None or missing or "trainer" not in found.rng_state:
            raise CheckpointError(
                f"{found.path}: no training can go on from this file; it needs an optimizer and "
                "the state that Trainer saves"
            )
        known = config["data"] if isinstance(config["data"], dict) else {}
        images, shape = len(dataset.x_train), list(dataset.image_shape)
        if known.get("images") != images or known.get("image_shape") != shape:
            raise ConfigError(
                f"{found.path} was trained on {known.get('images')} images of "
                f"{known.get('image_shape')}, {dataset.name} has {images} of {shape}; resume with "
                "the data set it was started with"
            )
        settings = {key: config[key] for key in _SETTINGS}
        if epochs is not None:
            settings["epochs"] = epochs
        try:
            trainer = cls(
                found.network,
                found.optimizer,
                dataset,
                callbacks=callbacks,
                checkpoint=found.path,
                config=config,
                **settings,
            )
            trainer._restore(found)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise CheckpointError(
                f"{found.path}: the state of the training is damaged ({error!r})"
            ) from error
        return trainer

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the steps of this epoch."""
        return self._loss_sum / max(self.position, 1)

    def fit(self) -> dict[str, Any]:
        """Train up to `epochs` and return the history.

        Raises
        ------
        DivergedError : loss or gradients are not finite; the weights are those before the step and
            the last checkpoint stays.
        Interrupted : Ctrl-C, SIGTERM or SIGHUP; saved first, when there is a checkpoint.
        CheckpointError : the checkpoint cannot be written, which is noticed before the first step.
        """
        if self.checkpoint is not None and self.epoch < self.epochs:
            probe(self.checkpoint)
        with Stop(self._announce_stop) as stop:
            try:
                while self.epoch < self.epochs:
                    self._run_epoch(stop)
                    if self.epoch < self.epochs:
                        stop.heed()
            except Stopped as stopped:
                self._interrupted(stopped.signal)
        return self.history

    def evaluate(self) -> Evaluation:
        """Loss, accuracy and activity on the test images."""
        return self._evaluate(None)

    def save(self) -> None:
        """Write the checkpoint; a training that has none saves nothing."""
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        changes = self.optimizer.changes.items()
        progress = {
            "position": self.position,
            "loss_sum": self._loss_sum,
            "correct": self._correct,
            "seconds": self._seconds,
            "changes": {p.name: [c.pruned, c.regrown] for p, c in changes},
        }
        accuracies = self.history["test_accuracy"]
        save(
            self.checkpoint,
            self.network,
            self.optimizer,
            history=self.history,
            config=self.config,
            rng_state={"trainer": generator_state(self.rng, "trainer"), "progress": progress},
            epoch=self.epoch,
            accuracy=accuracies[-1] if accuracies else None,
            order=self._order,
        )
        self._saved = True

    def _restore(self, found: Checkpoint) -> None:
        progress = found.rng_state["progress"]
        restore_generator(self.rng, found.rng_state["trainer"], f"{found.path}: /rng/trainer")
        self.epoch = found.epoch
        self.position = int(progress["position"])
        self._loss_sum = float(progress["loss_sum"])
        self._correct = int(progress["correct"])
        self._seconds = float(progress["seconds"])
        for p, change in self.optimizer.changes.items():
            change.pruned, change.regrown = map(int, progress["changes"][p.name])
        for name, column in self.history.items():
            column.clear()
            saved = found.history[name]
            column.update(saved) if isinstance(column, dict) else column.extend(saved)
        self._order = found.order
        images = len(self.dataset.x_train)
        begun = self._order is not None
        if not 0 <= self.position <= (self.batches if begun else 0):
            raise ValueError(f"position {self.position} of {self.batches} batches")
        if begun and not np.array_equal(np.sort(self._order), np.arange(images)):  # type: ignore[arg-type]
            raise ValueError("order is not a permutation of the training images")
        self._saved = True

    def _run_epoch(self, stop: Stop) -> None:
        started = time.perf_counter() - self._seconds
        if self._order is None:
            self._order = self.rng.permutation(len(self.dataset.x_train))
        self.network.train()
        while self.position < self.batches:
            self._step(self._order)
            for callback in self.callbacks:
                callback.step(self)
            if stop.requested:
                self._seconds = time.perf_counter() - started
                stop.heed()
        self._seconds = time.perf_counter() - started
        result = self._evaluate(stop)
        self._seconds = time.perf_counter() - started
        row = self._record(result)
        self.epoch += 1
        self.position = self._correct = 0
        self._loss_sum = self._seconds = 0.0
        self._order = None
        self.save()
        for callback in self.callbacks:
            callback.epoch(self, row)

    def _step(self, order: NDArray[np.int64]) -> None:
        start = self.position * self.batch_size
        index = order[start : start + self.batch_size]
        moves = self.rng if self.augment is not None else None
        batch = self.augmenter.batch(self.dataset.x_train, index, moves, self._buffer)
        self._buffer = batch
        labels = self.dataset.y_train[index]
        rate = rates(self.network, batch)
        loss = self._criterion(rate, labels)
        self.optimizer.zero_grad()
        loss.backward()
        value = loss.item()
        if not (math.isfinite(value) and gradients_are_finite(self.optimizer.params)):
            raise DivergedError(self._diagnosis(batch))
        self.optimizer.step()
        self.position += 1
        self._loss_sum += value
        self._correct += int(np.count_nonzero(rate.data.argmax(axis=1) == labels))

    def _evaluate(self, stop: Stop | None) -> Evaluation:
        def report(done: int, total: int) -> None:
            if stop is not None:
                stop.heed()
            for callback in self.callbacks:
                callback.evaluation(done, total)

        data = self.dataset
        if self._evaluation_batch is None:
            image = self.augmenter.batch(data.x_test, np.zeros(1, np.int64))
            self._evaluation_batch = fitting_batch(self.network, image)
        return evaluate(
            self.network, data.x_test, data.y_test, self.augmenter, self.loss,
            self._evaluation_batch, report=report,
        )  # fmt: skip

    def _record(self, result: Evaluation) -> dict[str, Any]:
        """Add a row to the history."""
        layers = layer_connectivity(self.network)
        changes = {name.split(".")[0]: c for name, c in self.optimizer.take_changes().items()}
        neurons = result.activity.neurons.values() if result.activity else ()
        row: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "train_loss": self.mean_loss,
            "train_accuracy": self._correct / (self.batches * self.batch_size),
            "test_loss": result.loss,
            "test_accuracy": result.accuracy,
            "connectivity": sum(c.nonzero for c in layers) / max(sum(c.weights for c in layers), 1),
            "seconds": self._seconds,
            "pruned": {name: pruned for name, (pruned, _) in changes.items()},
            "regrown": {name: regrown for name, (_, regrown) in changes.items()},
            "layer_connectivity": {c.name: c.connectivity for c in layers},
            "firing_rate": {n.name: n.firing_rate for n in neurons},
            "silent": {n.name: n.silent for n in neurons},
        }
        for name, value in row.items():
            if isinstance(value, dict):
                for layer, entry in value.items():
                    self.history[name].setdefault(layer, []).append(entry)
            else:
                self.history[name].append(value)
        return row

    def _diagnosis(self, batch: NDArray[np.float32]) -> str:
        """Says at which step and in which layer something stopped being finite."""
        step = self.epoch * self.batches + self.position + 1
        where = first_not_finite(self.network, self.optimizer.params, batch)
        kept = f"; the last checkpoint is {self.checkpoint}" if self._saved else ""
        return (
            f"training diverged at step {step} (epoch {self.epoch + 1}): {where} not finite; "
            f"lower lr (={self.optimizer.lr:g}){kept}"
        )

    def _announce_stop(self) -> None:
        for callback in self.callbacks:
            callback.stopping()

    def _interrupted(self, number: int) -> NoReturn:
        self.save()
        place = f"epoch {self.epoch + 1}, step {self.position} of {self.batches}"
        if self.checkpoint is None:
            raise Interrupted(
                f"interrupted in {place}; nothing saved, there is no checkpoint file", number
            )
        raise Interrupted(f"interrupted in {place}; saved to {self.checkpoint}", number)


def _kind(augment: bool | str | None, dataset: Dataset) -> Kind | None:
    """The kind of random moves, or None."""
    if not augment:
        return None
    kind = dataset.augmentation if augment is True else augment
    if kind is None:
        raise ConfigError(
            f"{dataset.name} has no augmentation of its own: leave it out, or name one of "
            f"{', '.join(KINDS)}"
        )
    if kind not in KINDS:
        raise ConfigError(f"augment (={kind!r}) must be one of {', '.join(KINDS)}, or False")
    if dataset.x_train.dtype != np.uint8:
        raise ConfigError(f"augmentation moves uint8 images, those of {dataset.name} are float32")
    return kind
