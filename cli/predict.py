"""snnr predict: what a network sees in images."""

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from snnr.cli.common import output_options, print_json, settle
from snnr.cli.screen import print_table

#: names of an archive's array of images, the first one that is there
NAMES = ("images", "x", "x_test")
#: numbers in one file, and pixels in one picture, at most
_MOST = 1 << 28


@click.command(name="predict", short_help="Label and rates of images.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@output_options
def command(checkpoint: Path, images: tuple[Path, ...], as_json: bool, quiet: bool) -> None:
    """Show each of the IMAGES to the network in CHECKPOINT (a file, or the folder of a run), by the
    compiled network (`snnr.compile`).

    An image is a PNG (or another picture that Pillow reads; pip install 'snnr[png]'), an .npy file,
    or an .npz file with an array of the name images, x or x_test (or with one array alone): [C, H,
    W], [N, C, H, W], or without C where there is one channel. Whole numbers are pixels, 0 to 255;
    they are normalised as in training. Floats count as normalised already.

    \b
    Examples:
      snnr predict runs/mnist-grad-r-prior0.05-seed0 digit.png
      snnr predict checkpoint.h5 digits.npy --json
    """
    from snnr.checkpoint import located
    from snnr.errors import DataError, printable
    from snnr.sparse import compile

    settle("cpu", None, quiet)
    engine = compile(located(checkpoint))
    shape = engine.described.input_shape
    if shape is None:
        raise DataError(
            f"{checkpoint} does not say what images it takes: use snnr.compile in a program"
        )
    told: list[dict[str, Any]] = []
    for path in images:
        batch = read(path, shape)
        for index, rates in enumerate(engine.rates(batch)):
            told.append(
                {
                    "file": str(path),
                    "index": index,
                    "label": int(rates.argmax()),
                    "rates": [float(rate) for rate in rates.reshape(-1)],
                }
            )
    if as_json:
        print_json({"checkpoint": str(checkpoint), "images": told})
        return
    several = any(entry["index"] for entry in told)
    print_table(
        ("image", "label", "rate", "rates of all classes"),
        [
            (
                printable(entry["file"]) + (f" {entry['index']}" if several else ""),
                str(entry["label"]),
                f"{max(entry['rates']):.3f}",
                " ".join(f"{rate:.3f}" for rate in entry["rates"]),
            )
            for entry in told
        ],
        left=(0, 3),
        text=True,
    )


def read(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """The images of a file, ``[N, *shape]``, uint8 or float32.

    Raises
    ------
    DataError : no such file, or nothing in it that has the shape.
    """
    from snnr.errors import DataError

    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    kind = path.suffix.lower()
    found = _numbers(path) if kind in (".npy", ".npz") else _picture(path, shape)
    if found.dtype.kind in "iu":
        if found.size and not 0 <= int(found.min()) <= int(found.max()) <= 255:
            raise DataError(
                f"{path}: whole numbers are pixels and must lie in 0..255, these run from "
                f"{found.min()} to {found.max()}"
            )
        found = found.astype(np.uint8)
    elif found.dtype.kind == "f":
        with np.errstate(over="ignore"):
            found = found.astype(np.float32)
        if not np.isfinite(found).all():
            raise DataError(f"{path}: has values that are not finite in float32; replace them")
    else:
        raise DataError(f"{path}: has {found.dtype}, expected pixels (uint8) or floats")
    grey = shape[1:] if len(shape) == 3 and shape[0] == 1 else None
    if found.shape in (shape, grey):
        return found.reshape(1, *shape)
    if found.ndim > 1 and found.shape[1:] in (shape, grey):
        return found.reshape(len(found), *shape)
    raise DataError(
        f"{path}: has images of shape {list(found.shape)}, the network takes {list(shape)}; scale "
        "or crop them first"
    )


def _numbers(path: Path) -> NDArray[Any]:
    """The array of an .npy or .npz file; nothing is unpickled."""
    from snnr.budget import Budget
    from snnr.errors import DataError, printable

    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return _array(file, path.stat().st_size, str(path))
        import zipfile

        with zipfile.ZipFile(path) as archive:
            present = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            name = next((name for name in NAMES if name in present), None)
            if name is None and len(present) == 1:
                name = next(iter(present))
            if name is None:
                raise DataError(
                    f"{path}: has {', '.join(map(printable, sorted(present)))}, expected an array "
                    f"named {', '.join(NAMES)}"
                )
            Budget(str(path), path.stat().st_size, DataError).take(present[name].file_size, name)
            with archive.open(present[name]) as file:
                return _array(file, present[name].file_size, f"{path}: {name}")
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise much for a damaged file
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {printable(str(error))})"
        ) from error


def _array(file: Any, size: int, where: str) -> NDArray[Any]:
    """An array whose header tells no more than there is."""
    from numpy.lib import format as npy

    from snnr.errors import DataError

    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in headers:
        raise DataError(f"{where}: has a header of a version that is not read here")
    shape, fortran, dtype = headers[version](file)
    count = int(np.prod(shape, dtype=object))
    if dtype.hasobject:
        raise DataError(f"{where}: has pickled objects in it, which are not read")
    if count * dtype.itemsize > size or min(shape, default=0) < 0:
        raise DataError(f"{where}: {dtype} {shape} does not fit into its {size} bytes")
    if count > _MOST:
        raise DataError(f"{where}: has {count:,} numbers, at most {_MOST:,} are read at once")
    content = file.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise DataError(f"{where}: is cut short")
    found: NDArray[Any] = np.frombuffer(content, dtype)
    return found.reshape(shape, order="F" if fortran else "C")


def _picture(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A picture as ``[C, H, W]``, grey or RGB as the network wants it."""
    from snnr.errors import DataError, printable

    if len(shape) != 3 or shape[0] not in (1, 3):
        raise DataError(
            f"{path}: the network takes samples of {list(shape)}, which no picture is; give an .npy"
        )
    try:
        from PIL import Image
    except ImportError:
        raise DataError(
            f"{path}: pictures are read by Pillow, which is not installed: pip install "
            "'snnr[png]', or give an .npy"
        ) from None
    try:
        with Image.open(path) as picture:
            if picture.size != (shape[2], shape[1]):
                raise DataError(
                    f"{path}: is {picture.size[0]} by {picture.size[1]} pixels, the network takes "
                    f"{shape[2]} by {shape[1]}; scale or crop it first"
                )
            pixels = np.asarray(picture.convert("L" if shape[0] == 1 else "RGB"), np.uint8)
    except DataError:
        raise
    except Exception as error:  # Pillow raises much for a damaged file
        raise DataError(
            f"{path}: is no picture that Pillow reads ({type(error).__name__}: "
            f"{printable(str(error))})"
        ) from error
    return pixels[None] if shape[0] == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
