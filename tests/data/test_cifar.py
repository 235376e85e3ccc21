"""CIFAR's binary archive, in miniature."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snnr.data

from snnr.errors import DataError


def pack(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for info, body in members:
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def unpack(packed: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return [(m, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]


def load_changed(tiny_tar: Any, tmp_path: Path, packed: bytes) -> snnr.data.Dataset:
    changed = tiny_tar.unchecked(**{"tiny.tar.gz": packed})
    changed.write(tmp_path)
    return snnr.data.load(changed.record, data_dir=tmp_path)


@pytest.mark.parametrize("limit", [None, 1, 2, 3])
def test_reads_in_the_order_of_the_members(
    tiny_tar: Any, tmp_path: Path, limit: int | None
) -> None:
    tiny_tar.write(tmp_path)
    read = snnr.data.load(tiny_tar.record, data_dir=tmp_path, limit_train=limit)
    for name in ("x_train", "y_train"):
        np.testing.assert_array_equal(getattr(read, name), tiny_tar.arrays[name][:limit])
    for name in ("x_test", "y_test"):
        np.testing.assert_array_equal(getattr(read, name), tiny_tar.arrays[name])
    assert read.y_train.dtype == np.int64
    assert read.augmentation == "crop-flip"


def test_checksum_comes_before_anything_is_opened(tiny_tar: Any, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar.gz").write_bytes(b"not a tar")
    with pytest.raises(DataError, match=r"tiny\.tar\.gz: MD5 .*, expected "):
        snnr.data.load(tiny_tar.record, data_dir=tmp_path)


def test_missing_member(tiny_tar: Any, tmp_path: Path) -> None:
    members = unpack(tiny_tar.files["tiny.tar.gz"])[:-1]
    with pytest.raises(DataError, match=r"set/batch_1\.bin missing"):
        load_changed(tiny_tar, tmp_path, pack(members))


def test_member_of_the_wrong_size(tiny_tar: Any, tmp_path: Path) -> None:
    members = unpack(tiny_tar.files["tiny.tar.gz"])
    info, body = members[0]
    info.size -= 1
    members[0] = info, body[:-1]
    with pytest.raises(DataError, match=r"set/batch_2\.bin has 25 bytes, expected .* 26"):
        load_changed(tiny_tar, tmp_path, pack(members))


def test_repeated_member(tiny_tar: Any, tmp_path: Path) -> None:
    members = unpack(tiny_tar.files["tiny.tar.gz"])
    with pytest.raises(DataError, match=r"set/batch_2\.bin"):
        load_changed(tiny_tar, tmp_path, pack([*members, members[0]]))


def test_link_in_place_of_a_member(tiny_tar: Any, tmp_path: Path) -> None:
    members = unpack(tiny_tar.files["tiny.tar.gz"])
    link = tarfile.TarInfo("set/batch_2.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(DataError, match="expected one plain file"):
        load_changed(tiny_tar, tmp_path, pack([(link, b""), *members[1:]]))


def test_names_that_climb_out_are_ignored(tiny_tar: Any, tmp_path: Path) -> None:
    evil = tarfile.TarInfo("../../evil.bin")
    evil.size = 4
    members = [(evil, b"evil"), *unpack(tiny_tar.files["tiny.tar.gz"])]
    load_changed(tiny_tar, tmp_path, pack(members))
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.tar.gz"]


def test_label_out_of_range(tiny_tar: Any, tmp_path: Path) -> None:
    members = unpack(tiny_tar.files["tiny.tar.gz"])
    members[2] = members[2][0], b"\x09" + members[2][1][1:]
    with pytest.raises(DataError, match=r"y_test has label 9, expected 0\.\.3"):
        load_changed(tiny_tar, tmp_path, pack(members))


@pytest.mark.parametrize("where", [0.3, 0.9])
def test_truncated_archive(tiny_tar: Any, tmp_path: Path, where: float) -> None:
    packed = tiny_tar.files["tiny.tar.gz"]
    with pytest.raises(DataError, match="not a readable"):
        load_changed(tiny_tar, tmp_path, packed[: int(where * len(packed))])


def test_a_bomb_is_not_unpacked(tiny_tar: Any, tmp_path: Path) -> None:
    huge = tarfile.TarInfo("set/huge.bin")
    huge.size = 4 << 20
    members = [(huge, bytes(huge.size)), *unpack(tiny_tar.files["tiny.tar.gz"])]
    with pytest.raises(DataError, match="unpacks to more than it can hold"):
        load_changed(tiny_tar, tmp_path, pack(members))


def test_damage_inside_the_stream(tiny_tar: Any, tmp_path: Path) -> None:
    packed = bytearray(tiny_tar.files["tiny.tar.gz"])
    packed[len(packed) // 2] ^= 0xFF
    record = replace(tiny_tar.record.files[0], packed_md5=(hashlib.md5(packed).hexdigest(),))
    (tmp_path / "tiny.tar.gz").write_bytes(bytes(packed))
    with pytest.raises(DataError):
        snnr.data.load(replace(tiny_tar.record, files=(record,)), data_dir=tmp_path)


def test_a_gzip_that_holds_no_tar(tiny_tar: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a readable tar\.gz"):
        load_changed(tiny_tar, tmp_path, gzip.compress(b"x" * 5000))


def test_a_size_out_of_this_world_is_not_waited_for(tiny_tar: Any, tmp_path: Path) -> None:
    """As an extended header can tell it; a library that skips it reads for hours."""
    member = tarfile.TarInfo("set/extra.bin")
    member.pax_headers = {"size": str(10**14)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
        for info, body in unpack(tiny_tar.files["tiny.tar.gz"]):
            archive.addfile(info, io.BytesIO(body))
    load_changed(tiny_tar, tmp_path, out.getvalue())
    huge = tarfile.TarInfo("set/extra.bin")
    huge.size = 8**11 - 1
    with pytest.raises(DataError, match=r"not a readable tar\.gz \(its end is missing"):
        load_changed(tiny_tar, tmp_path, gzip.compress(huge.tobuf(tarfile.USTAR_FORMAT)))


@pytest.mark.parametrize(
    ("place", "told"), [(0, "checksum is wrong"), (124, "checksum is wrong"), (150, "octal number")]
)
def test_a_header_that_makes_no_sense(
    tiny_tar: Any, tmp_path: Path, place: int, told: str
) -> None:
    plain = bytearray(gzip.decompress(tiny_tar.files["tiny.tar.gz"]))
    plain[place] = 0x80
    with pytest.raises(DataError, match=told):
        load_changed(tiny_tar, tmp_path, gzip.compress(plain))
