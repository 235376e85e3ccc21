"""Compiles what was launched on paper to PTX, and to machine code where ptxas is installed."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from numba.cuda import compiler, dispatcher

from .paper import Launched

TARGETS = ((8, 0), (9, 0))


class Resources(NamedTuple):
    """Of one thread: registers, and bytes that did not fit into them; of one block: bytes of shared
    memory."""

    registers: int
    spilled: int
    shared: int


@contextmanager
def standing_in(capability: tuple[int, int]) -> Iterator[None]:
    """Functions inside kernels are compiled for the current card; here is one."""
    real = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability, id=0)
    try:
        yield
    finally:
        dispatcher.get_current_device = real


@lru_cache(maxsize=4)
def _typed(launched: Launched) -> Any:
    """The kernel in the language of the compiler, which is the same for every target."""
    options = launched.kernel.options
    with standing_in(TARGETS[0]):
        library, _ = compiler._compile_pyfunc_with_fixup(
            launched.kernel.function, launched.types, debug=False, lineinfo=False, device=False,
            fastmath=options.get("fastmath", False), cc=TARGETS[0], opt=True, abi="numba",
            abi_info={}, forceinline=False, launch_bounds=options.get("launch_bounds"), lto=False,
        )  # fmt: skip
    return library


def ptx(launched: Launched, capability: tuple[int, int]) -> str:
    """The kernel in the assembly language of NVIDIA's virtual machine, as `numba.cuda.compile`
    makes it; but types are found once for all targets, which takes most of the time."""
    (text,) = _typed(launched).get_asm_strs(cc=capability)
    return text.decode() if isinstance(text, bytes) else str(text)


def find_ptxas() -> str | None:
    """NVIDIA's assembler: on the path, or of the package nvidia-cuda-nvcc."""
    found = shutil.which("ptxas")
    if found is None:
        import nvidia

        places = (Path(p) / "cu13" / "bin" / "ptxas" for p in nvidia.__path__)
        found = next((str(place) for place in places if place.exists()), None)
    return found


def assemble(text: str, capability: tuple[int, int], ptxas: str) -> Resources:
    """What the kernel takes on a card."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(text)
        done = subprocess.run(
            [ptxas, f"-arch=sm_{capability[0]}{capability[1]}", "-v", str(source), "-o",
             str(source.with_suffix(".cubin"))],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def number(pattern: str) -> int:
        return max((int(n) for n in re.findall(pattern, done.stderr)), default=0)

    return Resources(
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        number(r"(\d+) bytes smem"),
    )
