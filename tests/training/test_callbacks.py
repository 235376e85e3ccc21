"""Callbacks that write files: JSON lines, TensorBoard's events."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnr
from snnr.training import JsonLines, TensorBoard
from snnr.training.callbacks import _checksum

from .runs import trainer


def test_json_lines_hold_the_history_epoch_by_epoch(tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    run = trainer(snnr.data.load(tiny_file), epochs=2, callbacks=[JsonLines(path)])
    run.fit()
    JsonLines(path).warning(run, "odd\nnews")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows.pop() == {"event": "warning", "epoch": 2, "text": "odd\nnews"}
    rows = [row for row in rows if row.pop("event") == "epoch"]
    assert len(rows) == 2
    for name, column in run.history.items():
        for index in range(2):
            expected = (
                {layer: values[index] for layer, values in column.items()}
                if isinstance(column, dict) else column[index]
            )  # fmt: skip
            assert rows[index][name] == expected


def events(path: Path) -> list[dict[str, Any]]:
    """Events of a file, read by a reader of its own."""
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        assert content[8:12] == _checksum(content[:8])
        body = content[12 : 12 + length]
        assert content[12 + length : 16 + length] == _checksum(body)
        found.append(dict(fields(body)))
        content = content[16 + length :]
    return found


def fields(body: bytes) -> list[tuple[int, Any]]:
    found, place = [], 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = body[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(body):
        key = varint()
        kind = key & 7
        if kind == 0:
            found.append((key >> 3, varint()))
            continue
        length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        value: Any = body[place : place + length]
        place += length
        if kind in (1, 5):
            (value,) = struct.unpack("<d" if kind == 1 else "<f", value)
        found.append((key >> 3, value))
    return found


@pytest.fixture
def board(tiny_file: Path, tmp_path: Path) -> tuple[Any, Path]:
    run = trainer(snnr.data.load(tiny_file), epochs=2, callbacks=[TensorBoard(tmp_path / "tb")])
    run.fit()
    (path,) = (tmp_path / "tb").iterdir()
    return run.history, path


def test_tensorboard_events_hold_every_number(board: tuple[Any, Path]) -> None:
    history, path = board
    assert path.name.startswith("events.out.tfevents.")
    first, *rest = events(path)
    assert first[3] == b"brain.Event:2"
    assert [event[2] for event in rest] == [1, 2]
    scalars = []
    for event in rest:
        pairs = (dict(fields(value)) for _, value in fields(event[5]))
        scalars.append({pair[1].decode(): pair[2] for pair in pairs})
    for index, told in enumerate(scalars):
        assert told["test_accuracy"] == np.float32(history["test_accuracy"][index])
        for layer, column in history["layer_connectivity"].items():
            assert told[f"layer_connectivity/{layer}"] == np.float32(column[index])
        assert len(told) == 6 + sum(len(v) for v in history.values() if isinstance(v, dict))


@pytest.mark.parametrize("there", [True, False])
def test_the_folder_of_tensorboard_is_made_where_it_is_missing(
    tiny_file: Path, tmp_path: Path, there: bool
) -> None:
    folder = tmp_path / "of" / "runs"
    if there:
        folder.mkdir(parents=True)
    run = trainer(snnr.data.load(tiny_file), epochs=1, callbacks=[TensorBoard(folder)])
    run.fit()
    (path,) = folder.iterdir()
    assert len(events(path)) == 2


def test_the_checksum_is_crc_32c() -> None:
    """0xE3069283 for the digits 1 to 9 (RFC 3720), then turned by 15 bits and shifted."""
    crc = 0xE3069283
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert _checksum(b"123456789") == struct.pack("<I", masked)


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_itself_reads_them(board: tuple[Any, Path]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history, path = board
    found = EventAccumulator(str(path.parent)).Reload()
    told = [(event.step, event.value) for event in found.Scalars("connectivity")]
    assert told == [(i + 1, np.float32(v)) for i, v in enumerate(history["connectivity"])]
