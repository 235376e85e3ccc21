"""Where the files of a named data set lie, and whether they are what they should be."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from snnr.errors import DataError

from .registry import CIFAR10, FASHION_MNIST, File, Record
from .unpack import Progress, md5, unpack

ENVIRONMENT = "SNNR_DATA_DIR"


def cache_folder() -> Path:
    """Where `fetch` puts data sets by default: `$XDG_CACHE_HOME/snnr/data` or `~/.cache/...`."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "snnr" / "data"


def home(record: Record, data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder that `fetch` writes to: below `data_dir`, `$SNNR_DATA_DIR` or the cache."""
    base = data_dir or os.environ.get(ENVIRONMENT) or cache_folder()
    return Path(base).expanduser() / record.name


def folders(record: Record, data_dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Folders that may hold the data set, in the order in which they are tried.

    `data_dir` and `$SNNR_DATA_DIR` may name the folder of the files themselves or the folder
    above, in which the data set has a folder of its own name.
    """
    for base in (data_dir, os.environ.get(ENVIRONMENT)):
        if base:
            yield Path(base).expanduser() / record.name
            yield Path(base).expanduser()
    if record.system_folder:
        yield Path(record.system_folder)
    yield cache_folder() / record.name


def _present(folder: Path, file: File) -> Path | None:
    """The file, compressed or (IDX) unpacked, or None."""
    packed = folder / file.name
    if packed.is_file():
        return packed
    plain = packed.with_suffix("")
    return plain if file.role != "archive" and plain.is_file() else None


@dataclass(frozen=True)
class Found:
    """A data set's files: content by `read`, which checks size and checksum first."""

    record: Record
    folder: str
    paths: dict[str, Path]

    def read(
        self, file: File, *, thorough: bool = False, progress: Progress | None = None
    ) -> tuple[bytes, str]:
        """Content of one file as it lies there, and its path for messages.

        A compressed file whose checksum is known is trusted to unpack well; any other is unpacked
        and checked. `thorough` does both.

        Raises
        ------
        DataError : missing, unreadable, or not the file it should be.
        """
        if self.record.bundled:
            source = f"{self.folder}/{file.name}"
            try:
                content = (files("snnr.data") / self.record.name / file.name).read_bytes()
            except OSError as error:
                raise DataError(f"{source}: cannot be read ({error}); install snnr anew") from error
        else:
            path = self.paths[file.name]
            source = str(path)
            try:
                if path.stat().st_size > max(file.packed_limit, file.size):
                    raise DataError(
                        f"{source}: {path.stat().st_size} bytes, larger than {file.name} "
                        f"can be; {_remedy(self.record)}"
                    )
                content = path.read_bytes()
            except OSError as error:
                raise DataError(
                    f"{source}: cannot be read ({error}); check its permissions"
                ) from error
        verify_file(self.record, file, content, source, thorough=thorough, progress=progress)
        return content, source

    def bundled_size(self) -> int:
        """Bytes of the files that ship inside the package."""
        base = files("snnr.data") / self.record.name
        paths = [base / file.name for file in self.record.files]
        return sum(len(path.read_bytes()) for path in paths if path.is_file())


def _remedy(record: Record) -> str:
    if record.bundled:
        return "install snnr anew"
    return f"delete it and run `snnr data fetch {record.name}`"


def verify_file(
    record: Record,
    file: File,
    content: bytes,
    source: str,
    *,
    thorough: bool = False,
    progress: Progress | None = None,
) -> None:
    """Check the content of one file against the record's checksums.

    Raises
    ------
    DataError : no checksum fits.
    """
    known = bool(file.packed_md5) and md5(content) in file.packed_md5
    if file.role == "archive":
        if file.packed_md5 and not known:
            raise DataError(
                f"{source}: MD5 {md5(content)}, expected {file.packed_md5[0]}; {_remedy(record)}"
            )
        return
    if known and not thorough:
        return
    if file.md5 is not None:
        found = md5(unpack(content, file.size, source, progress=progress).data)
        if found != file.md5:
            raise DataError(
                f"{source}: MD5 of the unpacked content is {found}, expected {file.md5}; "
                f"{_remedy(record)}"
            )
    elif file.packed_md5 and not known:
        raise DataError(
            f"{source}: MD5 {md5(content)}, expected {file.packed_md5[0]}; {_remedy(record)}"
        )


def find(record: Record, data_dir: str | os.PathLike[str] | None) -> Found | None:
    """The first folder that holds every file of the data set, or None."""
    if record.bundled:
        return Found(record, str(files("snnr.data") / record.name), {})
    for folder in folders(record, data_dir):
        paths = {file.name: _present(folder, file) for file in record.files}
        complete = {name: path for name, path in paths.items() if path is not None}
        if len(complete) == len(record.files):
            return Found(record, str(folder), complete)
    return None


def locate(record: Record, data_dir: str | os.PathLike[str] | None) -> Found:
    """As `find`.

    Raises
    ------
    DataError : in no folder; the message lists where it was looked for and how to get it.
    """
    found = find(record, data_dir)
    if found is None:
        tried = ", ".join(str(folder) for folder in folders(record, data_dir))
        debian = " or install Debian's dataset-fashion-mnist" * (record is FASHION_MNIST)
        size = " (170 MB)" * (record is CIFAR10)
        raise DataError(
            f"{record.name} not found (looked in {tried}): run `snnr data fetch {record.name}`"
            f"{size}{debian}, or name the folder with --data-dir or {ENVIRONMENT}"
        )
    return found
