"""Several trainings in one process, so that kernels are compiled once.

    python benchmarks/runs.py DATASET --set net=csnn --set device=cuda --minutes 3
        --run method=dense --run "method=grad-r target_connectivity=0.05" --json FILE

``--set`` holds for all runs, ``--run`` adds one; words are settings of `snnr train` (`--lr 1e-3` is
lr=1e-3). With ``--minutes`` two epochs of the first run are tried, and the number of epochs of
every run follows from what one took. Results are written after each run: history, and the command
that does the same.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from report import machine

from snnr.errors import SnnrError
from snnr.metrics import layer_connectivity
from snnr.training import run_settings, start

COLUMNS = ("train_loss", "train_accuracy", "test_accuracy", "connectivity", "seconds")


def words(text: str) -> dict[str, Any]:
    """Settings of "a=1 b=c"."""
    pairs = (word.split("=", 1) for word in text.split())
    return {name: value(text) for name, text in pairs}


def value(text: str) -> Any:
    """A number or a flag, where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def command(dataset: str, given: dict[str, Any]) -> str:
    """The command line of a run."""
    parts = ["snnr train", dataset]
    for name, one in given.items():
        flag = "--" + name.replace("_", "-")
        parts.append(flag if one is True else f"{flag} {one}")
    return " ".join(parts)


def train(dataset: str, given: dict[str, Any], checkpoint: Path | None) -> dict[str, Any]:
    """One run from its first step to its last."""
    began = time.perf_counter()
    trainer = start(run_settings(dataset, **given), checkpoint)
    history = trainer.fit()
    return {
        "command": command(Path(dataset).name, given),
        "settings": given,
        "accuracy": float(history["test_accuracy"][-1]),
        "connectivity": float(history["connectivity"][-1]),
        "layers": {one.name: one.connectivity for one in layer_connectivity(trainer.network)},
        "seconds": time.perf_counter() - began,
        "history": {name: [float(v) for v in history[name]] for name in COLUMNS},
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("dataset")
    add("--set", action="append", default=[], help="settings of all runs")
    add("--run", action="append", required=True, help="settings of one more run")
    add("--minutes", type=float, help="for all runs: gives the number of epochs")
    add("--json", type=Path, required=True, help="results; finished runs in it are kept")
    add("--checkpoints", type=Path, help="folder of their checkpoints")
    args = parser.parse_args()
    deadline = time.perf_counter() + 60 * (args.minutes or 0)
    common = words(" ".join(args.set))
    runs = [{**common, **words(text)} for text in args.run]
    if args.minutes:
        probe = train(args.dataset, {**runs[0], "epochs": 2}, None)
        each = probe["history"]["seconds"][-1] + 0.1
        epochs = max(int((deadline - time.perf_counter()) / each / len(runs)), 1)
        print(f"an epoch takes {each:.2f} s: {epochs} epochs for each run", flush=True)
        runs = [{**one, "epochs": epochs} for one in runs]
    done = json.loads(args.json.read_text())["runs"] if args.json.exists() else []
    for number, given in enumerate(runs):
        if any(one["settings"] == given for one in done):
            continue
        checkpoint = args.checkpoints / f"{number}.h5" if args.checkpoints else None
        try:
            done.append(train(args.dataset, given, checkpoint))
        except SnnrError as error:
            print(f"{command(Path(args.dataset).name, given)}: {error}", flush=True)
            continue
        last = done[-1]
        print(
            f"{last['command']}: {100 * last['accuracy']:.2f} % at "
            f"{100 * last['connectivity']:.2f} %, {last['seconds']:.0f} s",
            flush=True,
        )
        args.json.write_text(json.dumps({"machine": machine(), "runs": done}, indent=1) + "\n")


if __name__ == "__main__":
    main()
