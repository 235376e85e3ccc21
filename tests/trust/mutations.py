"""Ways to change a file: bytes at random, and structures that a format would not have."""

import contextlib
import gzip
import io
import json
import math
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from snnr import SnnrError
from snnr.budget import UNLIMITED, Budget
from snnr.checkpoint.digest import DIGEST, Digest
from snnr.hdf5 import Source

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng], bytes]

#: numbers at which arithmetic goes wrong
EDGES = (0, 1, 2, 7, 8, 127, 255, 256, 65535, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
         1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 16, (1 << 64) - 1)  # fmt: skip


def _some(rng: Rng, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def flip(content: bytes, rng: Rng) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def edge(content: bytes, rng: Rng) -> bytes:
    """A number of 1 to 8 bytes, in either order, replaced by one at an edge."""
    size = int(_some(rng, (1, 2, 4, 8)))
    at = int(rng.integers(max(1, len(content) - size)))
    number = int(_some(rng, EDGES)) % (1 << 8 * size)
    written = number.to_bytes(size, _some(rng, ("little", "big")))
    return content[:at] + written + content[at + size :]


def cut(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content)))]


def move(content: bytes, rng: Rng) -> bytes:
    """A stretch copied to another place, over what is there or between."""
    a, b = (int(n) for n in rng.integers(len(content), size=2))
    size = int(rng.integers(1, 600))
    skip = size if rng.random() < 0.7 else 0
    return content[:b] + content[a : a + size] + content[b + skip :]


def blank(content: bytes, rng: Rng) -> bytes:
    at, size = int(rng.integers(len(content))), int(rng.integers(1, 600))
    return content[:at] + bytes([int(_some(rng, (0, 255)))]) * size + content[at + size :]


BYTES: tuple[Mutation, ...] = (flip, flip, edge, edge, cut, move, blank)


def inside_gzip(content: bytes, rng: Rng) -> bytes:
    """The same to what is packed, so that the parser behind meets it."""
    try:
        plain = gzip.decompress(content)
    except (OSError, EOFError):
        return flip(content, rng)
    return gzip.compress(_some(rng, BYTES)(plain, rng), 1, mtime=0)


def inside_tar(content: bytes, rng: Rng) -> bytes:
    """A header's field, with a checksum that fits."""
    plain = bytearray(gzip.decompress(content))
    start = 512 * int(_some(rng, (0, 2, 4, 6)))
    fields = ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8))
    at, size = _some(rng, fields)
    body = _some(rng, (b"77777777777", b"0", b"-1", b"\x80" + b"\xff" * 11, b"x", b"L", b"g", b"S"))
    plain[start + at : start + at + size] = body[:size].ljust(size, b"\0")
    plain[start + 148 : start + 156] = b" " * 8
    total = sum(plain[start : start + 512])
    plain[start + 148 : start + 156] = b"%06o\0 " % total
    return gzip.compress(bytes(plain), 1, mtime=0)


def inside_npz(content: bytes, rng: Rng) -> bytes:
    """One member's header or body, under a directory that fits it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = _some(rng, old.namelist())
        for name in old.namelist():
            body = old.read(name)
            if name == chosen:
                body = _some(rng, (*BYTES, _npy_header))(body, rng)
            new.writestr(name, body, int(_some(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))))
    return out.getvalue()


def _npy_header(_: bytes, rng: Rng) -> bytes:
    shape = tuple(int(_some(rng, EDGES)) for _ in range(int(rng.integers(0, 5))))
    kind = _some(rng, ("|u1", "<f4", ">f8", "|O", "|b1", "<U9", "|V0", "<f2", "<c16", "<m8[s]"))
    text = f"{{'descr': {kind!r}, 'fortran_order': {rng.random() < 0.5}, 'shape': {shape}}}"
    text = text[: int(rng.integers(len(text)))] if rng.random() < 0.2 else text
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() + bytes(72)


def inside_hdf5(content: bytes, rng: Rng) -> bytes:
    """An object of the file replaced by one that does not belong there."""
    with h5py.File(io.BytesIO(content), "r") as source:
        names: list[str] = []
        source.visit(names.append)
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        with h5py.File(io.BytesIO(content), "r") as source:
            for name in source:
                source.copy(name, file)
            for key, value in source.attrs.items():
                file.attrs[key] = value
        for _ in range(int(rng.integers(1, 3))):
            name = _some(rng, names)
            if _reaches(file, name):
                _some(rng, (_dataset, _dataset, _attribute, _link, _setting))(file, name, rng)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _reaches(file: h5py.File, name: str) -> bool:
    """Whether an object is still there, after what was mutated before."""
    try:
        return file[name] is not None
    except (KeyError, OSError, RuntimeError):
        return False


def _dataset(file: h5py.File, name: str, rng: Rng) -> None:
    old = file[name]
    shape = old.shape if isinstance(old, h5py.Dataset) and old.shape is not None else ()
    shape = shape if max(shape, default=0) < 1000 and math.prod(shape) < 100_000 else ()
    del file[name]
    kind = _some(rng, ("f4", "i8", "u8", "i1", "f8", "S5", "?", "c8", ">i4", "u1"))
    choice = int(rng.integers(5))
    if choice == 0:
        size = tuple(min(int(_some(rng, EDGES)), 1 << 40) for _ in shape or (1,))
        chunk = tuple(max(1, min(n, 1000)) for n in size) if 0 not in size else None
        file.create_dataset(name, size, kind, chunks=chunk)
    elif choice == 1:
        file[name] = np.zeros(shape, kind)
    elif choice == 2:
        values = np.array([int(_some(rng, EDGES)) for _ in range(int(np.prod(shape)))], "u8")
        file[name] = values.reshape(shape).astype(_some(rng, ("u8", "i8", "i4")))
    elif choice == 3:
        file[name] = "[" * int(rng.integers(1, 5000))
    else:
        file.create_group(name)


def _attribute(file: h5py.File, name: str, rng: Rng) -> None:
    holder = file[name] if rng.random() < 0.7 else file
    keys = [*holder.attrs, "digest", "format_version"]
    value = _some(rng, (-1, 1 << 62, float("nan"), "x", "\x1b[2J", [1, 2], np.zeros((3, 3)), True,
                        h5py.Empty("f4"), b"\xff\xfe", ["a", "b"], 1e300))  # fmt: skip
    holder.attrs[_some(rng, keys)] = value


def _link(file: h5py.File, name: str, rng: Rng) -> None:
    other = _some(rng, ("/", "/network", "/config", "/x_test"))
    target = _some(rng, (h5py.SoftLink(other), h5py.ExternalLink("/etc/passwd", "/"), None))
    del file[name]
    if target is not None:
        file[name] = target
    elif _reaches(file, other) and not name.startswith(other.strip("/")):
        file[name] = file[other]


def signed(content: bytes, rng: Rng) -> bytes:
    """An object or a value replaced, and digests that fit: what a stranger would write."""
    image = _some(rng, (inside_hdf5, _document, _document))(content, rng)
    with _writable(image) as file:
        source = Source(file, "x", Budget("x", 0, SnnrError, UNLIMITED), SnnrError, own=True)
        digest = Digest(source)
        with contextlib.suppress(SnnrError):  # what has no digest is refused for that
            for name in source.names(source.root):
                source.child(source.root, name).attrs[DIGEST] = digest.member(name)
            file.attrs[DIGEST] = digest.root()
        file.flush()
        again: bytes = file.id.get_file_image()
    return again


def _writable(content: bytes) -> h5py.File:
    return h5py.File(h5py.h5f.open_file_image(content, flags=1))  # H5LT_FILE_IMAGE_OPEN_RW


def _document(content: bytes, rng: Rng) -> bytes:
    """A value somewhere in one of the JSON texts."""
    with _writable(content) as file:
        places = ["config", *(f"rng/{name}" for name in file.get("rng", ()))]
        name = _some(rng, [name for name in places if file[name].shape == ()])
        text = json.dumps(_changed(json.loads(file[name][()]), rng))
        attributes = dict(file[name].attrs)
        del file[name]
        kind = h5py.string_dtype("utf-8", len(text.encode()))
        file.create_dataset(name, data=np.array(text.encode(), kind), dtype=kind)
        file[name].attrs.update(attributes)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _changed(value: Any, rng: Rng) -> Any:
    """A JSON value with one of its values replaced, removed or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = _some(rng, list(value))
        choice = rng.random()
        if choice < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if choice < 0.15:
            return {**value, "\x1b[2J": 1}
        return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = int(rng.integers(len(value)))
        return [*value[:at], _changed(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and value and rng.random() < 0.5:
        at = int(rng.integers(len(value)))
        return value[:at] + _some(rng, ("", "A", "=", "\x1b", "é", "eNo")) + value[at + 1 :]
    return _some(rng, (None, -1, 0, 1, 3, 1 << 31, 1 << 63, 1 << 70, -(1 << 200), 1.5, 1e308, "x",
                       [], {}, True, [[]] * 50, "9" * 5000))  # fmt: skip


def _setting(file: h5py.File, name: str, rng: Rng) -> None:
    """A value in the description of the network."""
    try:
        plan = json.loads(file["network"].attrs["architecture"])
        layer = _some(rng, plan["layers"])
        holder = _some(rng, (plan, layer, layer["settings"], layer["settings"]))
        keys = list(holder) or ["T"]
    except (TypeError, KeyError, ValueError, AttributeError):  # after an earlier mutation
        return _attribute(file, name, rng)
    values = (None, -1, 0, 1 << 31, 1 << 70, 1.5, "x", [], {}, True, 1e308, 3)
    if isinstance(holder, dict):
        holder[_some(rng, keys)] = _some(rng, values)
    file["network"].attrs["architecture"] = json.dumps(plan)
    return None


def inside_nir(content: bytes, rng: Rng) -> bytes:
    """A value of a node replaced by one of another type, shape or size."""
    with _writable(content) as file:
        names: list[str] = []
        file["node"].visititems(
            lambda name, found: names.append(name) if isinstance(found, h5py.Dataset) else None
        )
        for _ in range(int(rng.integers(1, 4))):
            group, name = file["node"], _some(rng, names)
            shape = group[name].shape if name in group else ()
            if name in group:
                del group[name]
            choice = int(rng.integers(6))
            if choice == 0 and name.endswith("type"):
                group[name] = _some(rng, _NODES)
            elif choice == 1:
                group[name] = _some(rng, ("", "same", "\x1b[2J", "x" * 5000, b"\xff", "é"))
            elif choice == 2:
                group[name] = np.zeros(tuple(rng.integers(0, 4, int(rng.integers(0, 6)))), "f4")
            elif choice < 5:
                value = _some(rng, (0.0, -1.0, 1.0, 0.5, 3.0, 1e-4, 1e300, math.nan, math.inf))
                group[name] = np.full(shape, value, _some(rng, ("f4", "f8"))) if shape else value
            elif rng.random() < 0.5:
                value = int(_some(rng, EDGES)) % (1 << 63) - int(_some(rng, (0, 0, 2)))
                group[name] = np.full(shape, value, "i8") if shape else value
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


_NODES = ("Linear", "Affine", "Conv1d", "Conv2d", "LIF", "IF", "LI", "CubaLIF", "Flatten", "Input",
          "Output", "SumPool2d", "AvgPool2d", "Threshold", "Scale", "Delay", "NIRGraph", "NIRNode",
          "os")  # fmt: skip

#: what the texts of networks, schedules and moves are made of, and what they are not
_WORDS = (
    "4c3", "4c3s2p1", "1c1s1p0", "64c5p2", "bn", "lif", "if", "lif()", "if(v_reset=none)", "LIF",
    "lif(tau=1.5,v_threshold=0.8)", "lif(surrogate=atan)", "lif(tau=1e-3)", "mp2", "ap2", "mp3s2",
    "fc10", "fc2", "fc0", "dp", "dp0.3", "dp1", "dp.5", "vote5", "vote1", "csnn", "mnist_fc",
    "csnn:channels=2", "cifar10_conv:channels=1", "cosine", "constant", "step", "floor=0.01",
    "factor=0.3", "factor=1", "at=0.5", "at=0.25/0.5", "at=0/1", "0.1", "1", "none", "yes", "nan",
    "inf", "tau=2", "v_reset=-0.5", "fc\u0661\u0660", "fc\uff11\uff10", "dp\u00b2", "\u0130",
    "\uff2c\uff29\uff26", "\u0131", "\0", "\x1b[2J",
    "affine", "crop-flip", "degrees=7", "translate=0.1", "scale=0.9/1.1", "padding=2",
    "\u202e", "\n", "\udcff", "9" * 40, "fc" + "9" * 9, "1e400", "0.1e-5", "1_0", "", " ",
)  # fmt: skip
_BETWEEN = ("-", "-", "-", ":", ",", "=", "/", "(", ")", " ", "--")


def words(content: bytes, rng: Rng) -> bytes:
    """A text of words that are known or nearly so: the sound one changed, or one from nothing."""
    text = content.decode()
    way = rng.random()
    if way < 0.3:
        text = _near(text, rng)
    elif way < 0.6:
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(text) + 1))
            word, left = _some(rng, (*_WORDS, *_BETWEEN)), int(rng.integers(4))
            text = text[:at] + word + text[at + left :]
    else:
        text = _some(rng, _WORDS)
        between = _some(rng, _BETWEEN)
        for _ in range(int(rng.integers(12))):
            text += (between if rng.random() < 0.8 else _some(rng, _BETWEEN)) + _some(rng, _WORDS)
        text *= int(_some(rng, (1, 1, 1, 1, 1, 1, 50, 2000)))
    return text.encode("utf-8", "surrogateescape")


def _near(text: str, rng: Rng) -> str:
    """One that may well be sound."""
    if "fc" in text:
        layers = [_some(rng, _WORDS[:24]) for _ in range(int(rng.integers(1, 6)))]
        return "-".join([*layers, _some(rng, ("fc2-lif", "fc10-if-vote5", "dp-fc2-lif(tau=9)"))])
    number = "".join(_some(rng, "0123456789..ee-") for _ in range(int(rng.integers(1, 6))))
    places = (number, "0.5", "0.25/0.75", f"0.1/{number}")
    if "degrees" in text:
        whole = _some(rng, (number, "0", "3", "12"))
        return _some(rng, (f"affine:degrees={number}", f"affine:scale={_some(rng, places)}",
                           f" Affine : translate = {number} , degrees = 3", " crop-flip ",
                           f"crop-flip:padding={whole}"))  # fmt: skip
    return _some(rng, (f"cosine:floor={number}", f"step:factor={number}",
                       f"step:at={_some(rng, places)}", " Cosine ",
                       f"step : at = {_some(rng, places)} , factor = {number}"))  # fmt: skip


#: formats of which most mutations keep the structure
_MOSTLY = ("run", "export", "net", "schedule", "moves", "nir")

STRUCTURED: dict[str, Mutation] = {
    "run": signed,
    "export": signed,
    "weights": inside_npz,
    "nir": inside_nir,
    "net": words,
    "schedule": words,
    "moves": words,
    "checkpoint": inside_hdf5,
    "checkpoint v1": inside_hdf5,
    "hdf5": inside_hdf5,
    "idx": inside_gzip,
    "cifar": inside_tar,
    "npz": inside_npz,
}


def mutate(name: str, content: bytes, number: int, seed: int) -> tuple[bytes, bool]:
    """The mutation of this number, and whether it changed bytes only."""
    rng = np.random.default_rng((seed, number))
    if number % 3 == 0 or (name in _MOSTLY and number % 3 == 1):
        return STRUCTURED[name](content, rng), False
    if name in ("idx", "cifar") and number % 3 == 1:
        return inside_gzip(content, rng), True
    return _some(rng, BYTES)(content, rng), True


def mutate_bytes(content: bytes, number: int) -> bytes:
    """A mutation of bytes, of whatever they are."""
    rng = np.random.default_rng(number)
    mutated: bytes = _some(rng, BYTES)(content, rng)
    return mutated
