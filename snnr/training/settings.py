"""Settings of a whole run: one typed record, its defaults, and what the paper used."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from snnr.errors import ConfigError, suggestion
from snnr.input import canonical_moves
from snnr.models import canonical
from snnr.optim import METHODS, AdamSettings, GradRSettings
from snnr.training.losses import LOSSES
from snnr.training.schedule import canonical_schedule

#: data set -> network; any other trains mnist_fc
NETWORKS = {"fashion-mnist": "csnn", "cifar10": "cifar10_conv"}

#: Chen et al., IJCAI 2021: schedules as in the authors' README (its MNIST script starts at 1e-3)
PAPER: dict[str, dict[str, Any]] = {
    "mnist": {
        "net": "mnist_fc", "timesteps": 8, "epochs": 512, "batch_size": 128, "lr": 1e-4,
        "augment": True,
    },
    "cifar10": {
        "net": "cifar10_conv", "timesteps": 8, "epochs": 2048, "batch_size": 16, "lr": 1e-4,
        "augment": True,
    },
}  # fmt: skip

#: recipe -> data set -> settings
RECIPES: dict[str, dict[str, dict[str, Any]]] = {"paper": PAPER}


def _setting(
    default: Any,
    help: str,
    *,
    least: int | None = None,
    most: int | None = None,
    names: str = "",
    other: str = "",
    default_text: str = "",
    fixed: bool = True,
) -> Any:
    """A field of the record.

    least, most : bounds of a whole number.
    names : "module:DICTIONARY" whose keys are the choices.
    other : "module:function" that reads what is none of them, and returns the one text for it.
    default_text : what the default is, where its value does not say it.
    fixed : it shapes the result, so that a run is resumed with the value it was started with.
    """
    metadata = {
        "help": help, "least": least, "most": most, "names": names, "other": other,
        "default_text": default_text, "fixed": fixed,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything that a run is made from; `start` makes it, `as_config` is what is kept of it.

    dataset : mnist, fashion-mnist, cifar10, or the path of a file.
    optimizer : settings of the method (`snnr.optim.METHODS[method].SETTINGS`).
    The others : see their help, for example in `snnr train --help`.

    Raises
    ------
    ConfigError : a value is out of its bounds, or does not fit the method.
    """

    dataset: str
    method: str = _setting("grad-r", "How connections are pruned.", names="snnr.optim:METHODS")
    optimizer: AdamSettings = field(default_factory=GradRSettings)
    net: str = _setting(
        "mnist_fc",
        "Network: a name, a name with options (cifar10_conv:channels=64) or layers of one's own "
        "(32c3-bn-lif-mp2-fc10-lif).",
        names="snnr.models:MODELS", other="snnr.models:canonical",
        default_text="what suits the data set",
    )  # fmt: skip
    epochs: int = _setting(20, "Passes over the training images.", least=1, fixed=False)
    batch_size: int = _setting(128, "Images per step.", least=1)
    timesteps: int | None = _setting(
        None, "Time steps per image.", least=1, most=255, default_text="the network's"
    )
    loss: str = _setting("mse", "Loss on the output rates.", names="snnr.training:LOSSES")
    augment: bool = _setting(False, "Move training images at random.", default_text="no")
    moves: str | None = _setting(
        None,
        "How they move: affine (turned, shifted, scaled) or crop-flip, or one of them with options "
        "(affine:degrees=7,scale=0.95/1.05). Means --augment.",
        names="snnr.input:MOVES", other="snnr.input:canonical_moves",
        default_text="the data set's",
    )  # fmt: skip
    seed: int = _setting(0, "Seed of weights, order and moves.", least=0)
    limit_train: int | None = _setting(
        None, "Use the first N training images only.", least=1, default_text="all"
    )
    limit_test: int | None = _setting(
        None, "Use the first N test images only.", least=1, default_text="all"
    )
    schedule: str = _setting(
        "constant",
        "Learning rate over the training: a name, or a name with options (cosine:floor=0.01, "
        "step:factor=0.3,at=0.6/0.9).",
        names="snnr.training:SCHEDULES", other="snnr.training:canonical_schedule",
    )  # fmt: skip
    recipe: str | None = None
    data_dir: str | None = None
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "net", canonical(self.net))
        object.__setattr__(self, "schedule", canonical_schedule(self.schedule))
        if self.moves is not None:
            object.__setattr__(self, "moves", canonical_moves(self.moves))
            object.__setattr__(self, "augment", True)
        for name, table in (("method", METHODS), ("loss", LOSSES)):
            if getattr(self, name) not in table:
                value = getattr(self, name)
                meant = suggestion(str(value), table)
                raise ConfigError(f"{name} (={value!r}) must be one of {', '.join(table)}{meant}")
        expected = METHODS[self.method].SETTINGS
        if type(self.optimizer) is not expected:
            raise ConfigError(
                f"method {self.method!r} takes {expected.__name__}, not {self.optimizer!r}"
            )
        for one in fields(self):
            least, most = one.metadata.get("least"), one.metadata.get("most")
            value = getattr(self, one.name)
            if least is None or (value is None and one.default is None):
                continue
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or value < least or (most is not None and value > most):
                bounds = f"at least {least}" if most is None else f"from {least} to {most}"
                raise ConfigError(f"{one.name} (={value!r}) must be a whole number, {bounds}")

    def as_config(self) -> dict[str, Any]:
        """JSON values, those of the method among the others; what it does not have is None."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "optimizer"}
        return {**dict.fromkeys(method_options()), **plain, **self.optimizer.as_dict()}


def run_fields() -> list[Any]:
    """The fields of `RunSettings` that are options of a run."""
    return [one for one in fields(RunSettings) if "help" in one.metadata]


def method_options() -> dict[str, list[tuple[str, Any]]]:
    """Settings of the methods that are options: name -> (method, field) of each that has it."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for method, kind in METHODS.items():
        for one in fields(kind.SETTINGS):
            if one.metadata["option"]:
                found.setdefault(one.name, []).append((method, one))
    return found


def takes(method: str, setting: str) -> bool:
    """Whether a method has that setting."""
    return method in METHODS and setting in METHODS[method].setting_names()


def run_settings(dataset: str, recipe: str | None = None, **given: Any) -> RunSettings:
    """Defaults, then the recipe, then what was given (not None): fields of `RunSettings`, and
    settings of the method by their own names, e.g. ``run_settings("mnist", prior=5e-3, epochs=3)``.

    Raises
    ------
    ConfigError : the recipe knows nothing of the data set, or a setting is unknown, out of its
        bounds or means nothing to the method.
    """
    chosen: dict[str, Any] = {"net": NETWORKS.get(dataset, "mnist_fc")}
    if recipe is not None:
        if recipe not in RECIPES:
            raise ConfigError(f"recipe (={recipe!r}) must be one of {', '.join(RECIPES)}")
        known = RECIPES[recipe]
        if dataset not in known:
            raise ConfigError(
                f"there is no recipe {recipe!r} for {dataset}, only for {', '.join(known)}"
            )
        chosen |= known[dataset]
    asked = {key: value for key, value in given.items() if value is not None}
    names = {one.name for one in fields(RunSettings)} - {"dataset", "recipe", "optimizer"}
    method = asked.get("method", "grad-r")
    for key in asked:
        if key not in names and not takes(method, key):
            own = METHODS[method].setting_names() if method in METHODS else ()
            meant = "" if key in method_options() else suggestion(key, {*names, *own})
            raise ConfigError(f"{key} means nothing to method {method!r}{meant}; leave it out")
    if asked.get("augment") is False and "moves" in asked:
        raise ConfigError(f"moves (={asked['moves']!r}) means augment: leave one of the two out")
    everything = {**chosen, **asked}
    of_method = {key: value for key, value in everything.items() if takes(method, key)}
    record = METHODS[method].SETTINGS(**of_method) if method in METHODS else AdamSettings()
    return RunSettings(
        dataset=dataset_name(dataset),
        recipe=recipe,
        optimizer=record,
        **{key: value for key, value in everything.items() if key in names},
    )


def dataset_name(dataset: str) -> str:
    """A named data set as it is; a file becomes its absolute path."""
    return os.path.abspath(os.path.expanduser(dataset)) if _is_file(dataset) else dataset


def _is_file(dataset: str) -> bool:
    return Path(dataset).suffix.lower() in (".npz", ".h5", ".hdf5")


def run_folder(config: Mapping[str, Any]) -> Path:
    """runs/<dataset>-<method>-prior<value>-target<connectivity>-seed<n>; a method without one of
    them, and one that is free of a target, leaves it out."""
    dataset, prior = str(config["dataset"]), config.get("prior")
    target = config.get("target_connectivity")
    name = Path(dataset).stem if _is_file(dataset) else dataset
    middle = "" if prior is None else f"-prior{prior:g}"
    middle += f"-target{target:g}" if target else ""
    return Path("runs") / f"{name}-{config['method']}{middle}-seed{config['seed']}"
