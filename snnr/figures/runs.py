"""Runs and what they have in common: settings, histories, means over seeds."""

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnr.checkpoint import BEST, CHECKPOINT, Record, load_record, located
from snnr.errors import CheckpointError
from snnr.training.settings import method_options

#: settings that do not tell one kind of run from another
_NOT_TOLD = ("seed", "threads", "device", "data_dir", "recipe", "data", "betas", "eps")
#: more runs than this are not one picture
MAX_RUNS = 10_000


@dataclass(frozen=True, eq=False)
class Run:
    """One run: its name, and what its checkpoint tells."""

    name: str
    record: Record

    @property
    def path(self) -> Path:
        """The checkpoint's file."""
        return self.record.path

    @property
    def method(self) -> str:
        """How it pruned."""
        return str(self.record.config.get("method", "unknown"))

    @property
    def epochs(self) -> list[Any]:
        """Numbers of the epochs that are done."""
        return list(self.record.history.get("epoch", []))

    def column(self, name: str) -> list[Any]:
        """A column of the history, one number per epoch; zeros where it was not kept."""
        found = self.record.history.get(name)
        return list(found) if isinstance(found, list) else [0.0] * len(self.epochs)

    def layers(self, name: str) -> dict[str, list[Any]]:
        """A group of columns, by layer."""
        found = self.record.history.get(name)
        return dict(found) if isinstance(found, Mapping) else {}


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone; `label` says what tells them from the others, `curve`
    what of that is no setting of the method: the settings of one curve share it."""

    label: str
    curve: str
    runs: tuple[Run, ...]

    def mean(self, column: str) -> tuple[list[Any], list[float], list[float]]:
        """Epochs that all runs have, mean and standard deviation (0 for one run) of a column."""
        length = min(len(run.epochs) for run in self.runs)
        rows = list(zip(*(run.column(column)[:length] for run in self.runs), strict=True))
        return (
            self.runs[0].epochs[:length],
            [statistics.fmean(row) for row in rows],
            [_spread(row) for row in rows],
        )


@dataclass(frozen=True)
class Point:
    """Accuracy and connectivity (0..1) at the end, mean and standard deviation over seeds."""

    label: str
    curve: str
    seeds: int
    accuracy: float
    accuracy_spread: float
    connectivity: float
    connectivity_spread: float


def gather(paths: Iterable[str | os.PathLike[str]]) -> list[Run]:
    """Every run that has finished an epoch, of checkpoints, folders of runs and of sweeps.

    Raises
    ------
    CheckpointError : a path holds none, or what a path names cannot be read.
    """
    found: dict[Path, Run] = {}
    for path in map(Path, paths):
        for file in _files(path):
            record = load_record(file)
            if record.history.get("epoch"):
                name = file.parent.name if file.name in (CHECKPOINT, BEST) else file.stem
                name += ", best" if file.name == BEST else ""
                found[file.resolve()] = Run(name or file.stem, record)
            elif file == located(path):
                raise CheckpointError(f"{file} holds no epoch of a training yet; nothing to draw")
    if not found:
        raise CheckpointError("there is no run that has finished an epoch; nothing to draw")
    return list(found.values())


def _files(path: Path) -> list[Path]:
    if not path.is_dir() or (path / CHECKPOINT).exists():
        return [located(path)]
    files = sorted(path.glob(f"*/{CHECKPOINT}"))
    if not files:
        raise CheckpointError(
            f"{path} holds neither a run ({CHECKPOINT}) nor folders of runs; name the folder that "
            "snnr train or snnr sweep wrote"
        )
    return files[:MAX_RUNS]


def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether this names one run, and not a sweep."""
    return not Path(path).is_dir() or (Path(path) / CHECKPOINT).exists()


def _settings(run: Run) -> dict[str, str]:
    config = run.record.config
    return {k: _short(v) for k, v in config.items() if k not in _NOT_TOLD and v is not None}


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def groups(runs: Sequence[Run]) -> list[Group]:
    """Runs by their settings, in the order of their methods and settings."""
    settings = [_settings(run) for run in runs]
    options = method_options()
    keys = dict.fromkeys(key for mine in settings for key in mine)
    # a setting that only some methods have, with one value, tells nothing that the method does not
    values = {key: {mine[key] for mine in settings if key in mine} for key in keys}
    differing = [key for key in keys if key != "method" and len(values[key]) > 1]
    members: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run, mine in zip(runs, settings, strict=True):
        members.setdefault(tuple(sorted(mine.items())), []).append(run)
    found = []
    for same, mates in members.items():
        mine = dict(same)
        told = {k: f"{k.replace('_', '-')} {mine[k]}" for k in differing if k in mine}
        work = [text for key, text in told.items() if key not in options]
        label, curve = (", ".join([mates[0].method, *texts]) for texts in (told.values(), work))
        found.append(Group(label, curve, tuple(mates)))
    return sorted(found, key=lambda group: (group.curve, -_connectivity(group)))


def _connectivity(group: Group) -> float:
    return statistics.fmean(run.record.connectivity for run in group.runs)


def points(runs: Sequence[Run]) -> list[Point]:
    """One point for each setting, those of a curve together, the densest first."""
    found = []
    for group in groups(runs):
        accuracy = [float(run.column("test_accuracy")[-1]) for run in group.runs]
        connectivity = [run.record.connectivity for run in group.runs]
        found.append(
            Point(
                group.label, group.curve, len(group.runs), statistics.fmean(accuracy),
                _spread(accuracy), statistics.fmean(connectivity), _spread(connectivity),
            )
        )  # fmt: skip
    return found


def pareto(found: Iterable[Point]) -> list[Point]:
    """The points that no other one beats in both accuracy and connectivity, the sparsest first."""
    best: list[Point] = []
    for point in sorted(found, key=lambda p: (p.connectivity, -p.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
