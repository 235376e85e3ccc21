"""The first step in float64 and in float32 PyTorch, which contenders are judged by."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from harness import ContenderError, Process, installed
from peers import REFERENCE
from record import Record


def records(workload: Path, python: str, cpus: set[int]) -> tuple[Record, Record] | None:
    """(float64, float32) records of a workload's first step, kept beside its file.

    None where PyTorch is not installed under ``python``.
    """
    kept = workload.with_suffix(".reference.json")
    if not kept.exists():
        if installed(python, REFERENCE):
            return None
        told = {}
        for name in (REFERENCE, "eager"):
            process = Process(name, python, workload, cpus)
            try:
                told[name] = dataclasses.asdict(process.probe())
            except ContenderError:
                return None
            finally:
                process.close()
        partial = kept.with_suffix(".partial")
        partial.write_text(json.dumps(told))
        partial.replace(kept)
    told = json.loads(kept.read_text())
    return Record(**told[REFERENCE]), Record(**told["eager"])
