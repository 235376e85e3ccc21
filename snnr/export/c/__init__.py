"""A compiled network as one header of C99: sparse tables, no heap, no dependency.

>>> written = snnr.export.write_c("runs/mnist-...", "network.h", quantize="int8")
>>> written.flash, written.ram                     # bytes
>>> written.check(images).labels()                 # compiled here, and run

**What equals what.** The C code computes what `Written.emulate` computes, operation for operation:
the same spikes of every neuron at every time step, in fixed point on any machine, in floating point
on any with IEEE float32 and without contraction (``-std=c99`` with GCC). In floating point a sum of
weights is made in the order of its columns, the dense network's in another; so the spikes are those
of the dense network but where a potential lies within the rounding of such sums of its threshold.
`Answers.margins` says how far from it the nearest potential of an image is.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from snnr.errors import ConfigError
from snnr.export.c import check as _check
from snnr.export.c.cross import Sizes, sizes
from snnr.export.c.emulate import Answers, emulate
from snnr.export.c.header import Header, fitting, golden_images, header_of
from snnr.export.c.program import Program, program_of
from snnr.export.network import Exported, Source, exported, write_file

#: golden vectors in a header
GOLDEN = 2


@dataclass(frozen=True, eq=False)
class Written:
    """A header that was written.

    path, prefix : where it is, and the prefix of its names.
    program : what it does.
    header : its text and bytes.
    """

    path: Path
    prefix: str
    program: Program
    header: Header

    @property
    def flash(self) -> int:
        """Bytes of constant tables."""
        return self.header.flash

    @property
    def ram(self) -> int:
        """Bytes of static buffers."""
        return self.header.ram

    def check(self, images: NDArray[Any], flags: tuple[str, ...] = _check.STRICT) -> Answers:
        """Compile the header with the system's compiler and run it on images ``[N, ...]``: uint8,
        or normalised floats where the normalisation is not known.

        Raises
        ------
        DeviceError : there is no compiler.
        SnnrError : it does not compile.
        ShapeError : the images are of another shape.
        """
        return _check.check(
            self.program, self.header.text, self.prefix, fitting(self.program, images), flags
        )

    def cortex_m4(self) -> Sizes | None:
        """Bytes on a Cortex-M4, as ``arm-none-eabi-gcc -Os`` has it; None where it is not here."""
        return sizes(self.header.text, self.prefix, self.program.source.ctype)

    def emulate(self, images: NDArray[Any]) -> Answers:
        """The same in NumPy, with margins."""
        return emulate(self.program, fitting(self.program, images))


def write_c(
    source: Source | Exported,
    path: str | os.PathLike[str],
    prefix: str = "network",
    quantize: str | None = None,
    per: str = "channel",
    golden: int = GOLDEN,
    images: NDArray[Any] | None = None,
    **options: Any,
) -> Written:
    """Write a network as a header of C99.

    Parameters
    ----------
    source : a network, a checkpoint file or the folder of a run.
    prefix : of every name in it, a C identifier.
    quantize : "int8" or "int16" weights with int32 potentials; None for float32.
    per : in fixed point, one scale for each "channel" of a layer, or one for the "layer".
    golden : images that the header carries with what has to come out, for its self-test.
    images : ``[N, ...]``, uint8, to take those from; by default they are noise.
    options : `input_shape`, `mean`, `std` and `T`, as `snnr.export.exported` has them.

    Raises
    ------
    ConfigError : a setting that makes no sense, or a layer that cannot be written so.
    ShapeError : the images are of another shape or dtype.
    CheckpointError : the source is damaged, or the file cannot be written.
    """
    if not 1 <= golden <= 1000:
        raise ConfigError(f"golden (={golden}) must lie between 1 and 1000")
    network = exported(source, **options)
    program = program_of(network, quantize, per)
    about = ", ".join(
        f"{key} {network.config[key]}" for key in ("dataset", "method", "prior")
        if isinstance(network.config.get(key), str | int | float)
    )  # fmt: skip
    header = header_of(program, prefix, golden_images(program, images, golden), about)
    return Written(write_file(path, header.text.encode()), prefix, program, header)


__all__ = ["GOLDEN", "Answers", "Sizes", "Written", "write_c"]
