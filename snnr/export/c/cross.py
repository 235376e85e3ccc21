"""What a header takes on a microcontroller, as its compiler says."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from snnr.errors import SnnrError

CROSS = "arm-none-eabi-"
CORTEX_M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
_FLAGS = ("-std=c99", "-Os", "-ffreestanding", "-ffunction-sections", "-fdata-sections")

_CALLER = """\
#include "{prefix}.h"

int32_t label(const {ctype} *input);

int32_t label(const {ctype} *input)
{{
    return {prefix}_predict(input, {big}_INPUTS);
}}
"""


@dataclass(frozen=True)
class Sizes:
    """Bytes on a Cortex-M4 with -Os: of machine code, of constant tables, of buffers."""

    code: int
    tables: int
    buffers: int

    @property
    def flash(self) -> int:
        """Code and tables."""
        return self.code + self.tables


def available() -> bool:
    """Whether the cross compiler is here."""
    return shutil.which(f"{CROSS}gcc") is not None and shutil.which(f"{CROSS}size") is not None


def sizes(text: str, prefix: str, ctype: str = "uint8_t") -> Sizes | None:
    """Bytes of a header, compiled for a Cortex-M4; None where no cross compiler is here.

    Raises
    ------
    SnnrError : it does not compile; the message has what was said.
    """
    if not available():
        return None
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / f"{prefix}.h").write_text(text, encoding="utf-8")
        caller = _CALLER.format(prefix=prefix, big=prefix.upper(), ctype=ctype)
        (place / "caller.c").write_text(caller, encoding="utf-8")
        _run([f"{CROSS}gcc", *CORTEX_M4, *_FLAGS, "-c", "caller.c", "-o", "caller.o"], place)
        told = _run([f"{CROSS}size", "-A", "caller.o"], place)
    found = {".text": 0, ".rodata": 0, ".bss": 0, ".data": 0}
    for name, count in re.findall(r"^(\.\w+)\S*\s+(\d+)\s", told, re.MULTILINE):
        if name in found:
            found[name] += int(count)
    return Sizes(found[".text"], found[".rodata"], found[".bss"] + found[".data"])


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SnnrError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout
