"""A whole run from its settings: data, network, optimizer and Trainer. Whoever starts runs calls
this: the command line, a sweep, another process."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from snnr import data, kernels, models
from snnr.checkpoint import Checkpoint, load
from snnr.errors import ConfigError
from snnr.input import canonical_moves
from snnr.nn import Layer
from snnr.optim import METHODS, Optimizer
from snnr.training.callback import Callback
from snnr.training.schedule import canonical_schedule
from snnr.training.settings import RunSettings, method_options, run_fields
from snnr.training.trainer import Trainer

#: called with (file, bytes done, bytes in all) while data is read or fetched
Progress = Callable[[str, int, int | None], None]


def make_optimizer(settings: RunSettings, network: Layer) -> Optimizer:
    """The optimizer of a network; one that draws random numbers draws them from the run's seed."""
    kind = METHODS[settings.method]
    chosen = {key: getattr(settings.optimizer, key) for key in kind.setting_names()}
    if "rng" in inspect.signature(kind).parameters:
        chosen["rng"] = settings.seed
    return kind(network.parameters(), **chosen)


def start(
    settings: RunSettings,
    checkpoint: str | os.PathLike[str] | None = None,
    callbacks: Iterable[Callback] = (),
    progress: Progress | None = None,
) -> Trainer:
    """A new run, ready to `fit`.

    Parameters
    ----------
    checkpoint : file to write after every epoch; None saves nothing.
    progress : told about data that is read or fetched, see `snnr.data.load`.

    Raises
    ------
    ConfigError, DataError, DeviceError : a setting, the data set or the device does not fit.
    """
    if not settings.optimizer.lr > 0:
        raise ConfigError(
            f"lr (={settings.optimizer.lr!r}) must be greater than 0: nothing would be trained"
        )
    device = kernels.resolve(settings.device)
    if settings.threads is not None:
        from snnr.kernels.threads import set_threads  # only now: it loads the compiler

        set_threads(settings.threads)
    images = data.load(
        settings.dataset, settings.data_dir, settings.limit_train, progress, settings.limit_test
    )
    network = models.make(
        settings.net, settings.timesteps, settings.seed, device, images.image_shape, images.classes
    )
    settings = replace(settings, timesteps=network.T, device=device)
    return Trainer(
        network,
        make_optimizer(settings, network),
        images,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        loss=settings.loss,
        augment=settings.moves or settings.augment,
        seed=settings.seed,
        callbacks=callbacks,
        checkpoint=checkpoint,
        config=settings.as_config(),
        schedule=settings.schedule,
    )


def resume(
    checkpoint: str | os.PathLike[str] | Checkpoint,
    asked: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    data_dir: str | None = None,
    device: str = "auto",
    callbacks: Iterable[Callback] = (),
    progress: Progress | None = None,
) -> Trainer:
    """A run that `start` began, taken up where it stopped.

    Parameters
    ----------
    asked : settings that the run is expected to have, by name; None is no expectation.
    epochs : replaces the number of epochs in all.
    data_dir : folder of data sets, where it is another one now.

    Raises
    ------
    ConfigError : the run has other settings than asked for.
    CheckpointError, DataError, DeviceError : it cannot be taken up here.
    """
    chosen = kernels.resolve(device)
    found = checkpoint if isinstance(checkpoint, Checkpoint) else load(checkpoint, chosen)
    compare(found.path, found.config, asked or {})
    config = found.config
    if not isinstance(config.get("dataset"), str):
        raise ConfigError(
            f"{found.path} does not say what data set it was trained on: it was not started as a "
            "run; use snnr.Trainer.resume with the data set"
        )
    images = data.load(
        config["dataset"], data_dir or config.get("data_dir"), config.get("limit_train"), progress,
        config.get("limit_test"),
    )  # fmt: skip
    return Trainer.resume(found, images, epochs=epochs, callbacks=callbacks)


def compare(path: Path, config: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse settings (None: no expectation) that are not those of the run at `path`.

    Raises
    ------
    ConfigError : the first one that differs.
    """
    fixed = [one.name for one in run_fields() if one.metadata["fixed"]]
    for key in ("dataset", *method_options(), *fixed, "recipe"):
        value = asked.get(key)
        before = bool(config.get(key)) if key == "augment" else config.get(key)
        if key == "net" and value is not None:
            value = models.canonical(value)
        if key == "schedule" and value is not None:
            value, before = canonical_schedule(value), before or "constant"
        if key == "moves" and value is not None:
            value, before = canonical_moves(value), config.get("augment")
        if value is not None and value != before:
            raise ConfigError(
                f"{path} was trained with {key.replace('_', '-')} {before}, not {value}: "
                "a run is resumed with its own settings; leave the option out, or start another "
                "run with --out"
            )
