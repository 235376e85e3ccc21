"""The first step in float64 and in PyTorch's float32, which contenders are judged by."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from harness import ContenderError, Process, installed
from peers import REFERENCE
from record import Record


def records(
    workload: Path, python: str, cpus: set[int], device: str = "cpu", tf32: bool = False
) -> tuple[Record, Record] | None:
    """(float64, float32) records of a workload's first step, kept beside its file. On a card both
    come from it, and float32 is that of the products asked for.

    None where PyTorch is not installed under ``python``.
    """
    suffix = "" if device == "cpu" else f".{device}"
    told = {}
    for name, rounded in ((REFERENCE, False), ("eager", tf32)):
        kept = workload.with_suffix(f"{suffix}.{name}{'.tf32' if rounded else ''}.json")
        if not kept.exists():
            if installed(python, name):
                return None
            process = Process(name, python, workload, cpus, device, rounded)
            try:
                found = dataclasses.asdict(process.probe())
            except ContenderError:
                return None
            finally:
                process.close()
            partial = kept.with_suffix(".partial")
            partial.write_text(json.dumps(found))
            partial.replace(kept)
        told[name] = Record(**json.loads(kept.read_text()))
    return told[REFERENCE], told["eager"]
