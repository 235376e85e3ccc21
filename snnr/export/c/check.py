"""Compiling an exported header with the system's compiler, and running it on images."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import DeviceError, SnnrError
from snnr.export.c.emulate import Answers
from snnr.export.c.program import Program, Weighted

#: with these a header compiles without a word
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2")

_HARNESS = """\
#include <stdint.h>
#include <stdio.h>
#define {big}_TRACE(layer, words, count) fwrite((words), sizeof (words)[0], (count), stdout)
#include "{name}"

int main(void)
{{
    static {source} image[{big}_INPUTS];
    {answer} sums[{big}_CLASSES];

    while (fread(image, sizeof image, 1, stdin) == 1) {{
        if ({prefix}_predict_sums(image, {big}_INPUTS, sums, {big}_CLASSES) != 0) {{
            return 1;
        }}
        fwrite(sums, sizeof sums, 1, stdout);
    }}
    return 0;
}}
"""


def compiler() -> str | None:
    """The C compiler of this machine: $CC, or cc, gcc, clang; None without one."""
    return next(filter(None, map(shutil.which, (os.environ.get("CC", ""), "cc", "gcc", "clang"))),
                None)  # fmt: skip


def check(
    program: Program,
    text: str,
    prefix: str,
    images: NDArray[Any],
    flags: Sequence[str] = STRICT,
) -> Answers:
    """Compile a header, run it on images, and read what it says, every spike of it.

    Parameters
    ----------
    program, text, prefix : what was written, the header, and the prefix of its names.
    images : ``[N, ...]``, uint8 where the program takes pixels, else float32.
    flags : of the compiler.

    Raises
    ------
    DeviceError : there is no compiler.
    SnnrError : it does not compile, or the program fails; the message has what was said.
    """
    found = compiler()
    if found is None:
        raise DeviceError("there is no C compiler here; install gcc or clang, or set CC")
    kind = np.uint8 if program.source.kind == "pixels" else np.float32
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / f"{prefix}.h").write_text(text, encoding="utf-8")
        (place / "check.c").write_text(
            _HARNESS.format(prefix=prefix, big=prefix.upper(), name=f"{prefix}.h",
                            source=program.source.ctype, answer=program.answer),
            encoding="utf-8",
        )  # fmt: skip
        told = _run([found, *flags, "check.c", "-o", "check"], place, b"")
        told = _run([str(place / "check")], place, images.astype(kind).tobytes())
    return read_answers(program, told, len(images))


def _run(command: Sequence[str], folder: Path, given: bytes) -> bytes:
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}"
        raise SnnrError(f"{Path(command[0]).name}: {said}")
    return done.stdout


def read_answers(program: Program, told: bytes, count: int) -> Answers:
    """What the harness says: for each image the words of each layer of neurons, then the sums."""
    fields: list[tuple[str, str, tuple[int, ...]]] = []
    for place, step in enumerate(program.steps):
        if isinstance(step, Weighted) and step.neuron is not None:
            fields.append((f"s{place}", step.target.ctype[:-2], (step.target.size,)))
    answer = program.answer
    fields.append(("sums", "float32" if answer == "float" else answer[:-2], (program.classes,)))
    rows = np.frombuffer(told, np.dtype(fields))
    if len(rows) != count:
        raise SnnrError(f"the program answered for {len(rows)} of {count} images")
    spikes = []
    for name, _, _ in fields[:-1]:
        words = rows[name].astype(np.uint64)
        shifts = np.arange(program.T, dtype=np.uint64)[:, None]
        spikes.append(((words[:, None] >> shifts) & np.uint64(1)).astype(np.uint8))
    return Answers(rows["sums"], spikes, np.zeros(0))
