"""Callbacks that write what happens down: JSON lines, and events that TensorBoard shows."""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnr.training.callback import Callback

if TYPE_CHECKING:
    from snnr.training.trainer import Trainer


class JsonLines(Callback):
    """Appends one JSON object a line to a file: each epoch's row of the history, and warnings.

    Lines are flushed one by one, so that ``tail -f`` and a reader beside it see whole ones.

    Raises
    ------
    OSError : the file cannot be opened or written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def epoch(self, trainer: "Trainer", row: Mapping[str, Any]) -> None:
        self._write({"event": "epoch", **row})

    def warning(self, trainer: "Trainer", text: str) -> None:
        self._write({"event": "warning", "epoch": trainer.epoch, "text": text})

    def _write(self, value: Mapping[str, Any]) -> None:
        line = json.dumps(value, default=float) + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)


class TensorBoard(Callback):
    """Writes scalars for TensorBoard into a folder, each epoch: losses, accuracies, connectivity,
    and by layer pruned, regrown, connectivity, firing rate and silent share.

    The file is made of the format's own records (CRC-32C, protocol buffers), so that neither
    TensorBoard nor TensorFlow is needed here; ``tensorboard --logdir FOLDER`` shows it.

    Raises
    ------
    OSError : the folder or the file cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.path: Path | None = None

    def epoch(self, trainer: "Trainer", row: Mapping[str, Any]) -> None:
        now, step = time.time(), int(row["epoch"])
        if self.path is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}"
            self.path = self.folder / name
            # field 3 of an event: the version of the format
            self._append(_record(_double(1, now) + _bytes(3, b"brain.Event:2")))
        values = b"".join(_bytes(1, _scalar(tag, value)) for tag, value in _scalars(row))
        self._append(_record(_double(1, now) + _whole(2, step) + _bytes(5, values)))

    def _append(self, record: bytes) -> None:
        assert self.path is not None
        with self.path.open("ab") as file:
            file.write(record)


def _scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{layer}", float(v)) for layer, v in value.items())
        elif name != "epoch":
            yield name, float(value)


# Protocol buffers, as far as an event with scalars needs them: a field is its number and kind (0
# whole, 1 eight bytes, 2 a length and bytes, 5 four bytes), then its value.


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _whole(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _scalar(tag: str, value: float) -> bytes:
    """A value of a summary: tag, simple_value."""
    single = struct.pack("<f", float(np.float32(value)))
    return _bytes(1, tag.encode()) + _varint(2 << 3 | 5) + single


# TFRecord: length, its checksum, content, its checksum.


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    """CRC-32C, turned and shifted as the format wants it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _table() -> tuple[int, ...]:
    entries = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        entries.append(value)
    return tuple(entries)


_TABLE = _table()
