"""The tables of a sweep: ``results.csv``, and ``results.h5`` with the history of every run.

results.h5, readable with h5py alone::

    /               attrs: format="snnr-sweep", format_version=1, snnr_version
    /runs/<name>    attrs: the columns of the CSV (one that is unknown is missing)
    .../history     as in a checkpoint: one dataset per column, one row per epoch, and groups with
                    one dataset per layer
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnr import __version__
from snnr.checkpoint import CHECKPOINT, Record
from snnr.checkpoint.file import replace

FORMAT, VERSION = "snnr-sweep", 1

#: what is known of a run, in front of its settings
MEASURED = (
    "run", "status", "accuracy", "loss", "connectivity", "epochs_done", "seconds",
    "seconds_per_epoch", "error", "checkpoint",
)  # fmt: skip


def row(name: str, config: Mapping[str, Any], record: Record | None = None) -> dict[str, Any]:
    """One run: what is known of it (MEASURED), then its settings.

    status : waiting, stopped (begun, not at its end), finished; or failed, with an error.
    accuracy, loss : of the last epoch, on the test images.
    """
    measured: dict[str, Any] = dict.fromkeys(MEASURED)
    measured |= {"run": name, "status": "waiting", "epochs_done": 0}
    settings = dict(config)
    if record is not None:
        history, done = record.history, record.epoch
        seconds = [float(value) for value in history.get("seconds", [])]
        measured |= {
            "status": "finished" if done >= config["epochs"] else "stopped",
            "accuracy": record.accuracy,
            "loss": float(history["test_loss"][-1]) if history.get("test_loss") else None,
            "connectivity": record.connectivity,
            "epochs_done": done,
            "seconds": sum(seconds),
            "seconds_per_epoch": sum(seconds) / len(seconds) if seconds else None,
            "checkpoint": f"{name}/{CHECKPOINT}",
        }
        settings["timesteps"] = record.config.get("timesteps")
    return {**measured, **{k: v for k, v in settings.items() if k not in measured}}


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per run; what is unknown, or means nothing to the method, is empty.

    Raises
    ------
    CheckpointError : it cannot be written; what was there before is untouched.
    """
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: "" if v is None else _plain(v) for k, v in row.items()})
    replace(path, text.getvalue().encode())


def write_h5(
    path: Path, rows: Sequence[Mapping[str, Any]], histories: Mapping[str, Mapping[str, Any]]
) -> None:
    """The same with the histories. Raises as `write_csv`."""
    # in memory, so that a full disk never meets the HDF5 library
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = VERSION
        file.attrs["snnr_version"] = __version__
        runs = file.create_group("runs", track_order=True)
        for row in rows:
            group = runs.create_group(row["run"])
            for key, value in row.items():
                if value is not None:
                    group.attrs[key] = _plain(value)
            inside = group.create_group("history", track_order=True)
            for name, column in histories.get(row["run"], {}).items():
                _column(inside, name, column)
        file.flush()
        image = file.id.get_file_image()
    replace(path, image)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict | tuple) else value


def _column(group: h5py.Group, name: str, column: Any) -> None:
    if isinstance(column, Mapping):
        inside = group.create_group(name, track_order=True)
        for layer, values in column.items():
            inside.create_dataset(layer, data=np.asarray(values))
    else:
        group.create_dataset(name, data=np.asarray(column))
