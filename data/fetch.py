"""Downloads: checked, retried, and never visible half-written."""

import http.client
import os
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from snnr.errors import DataError

from .load import Status, status_of
from .places import find, home, verify_file
from .registry import File, Record, lookup
from .unpack import Progress, md5

_BLOCK = 1 << 16
#: bytes a second; a download that is slower for a while, and one that takes longer, has failed
_SLOWEST = 1 << 10
_LONGEST = 3600.0
#: HTTP answers that another attempt may change
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class _Passing(Exception):
    """A failure that another attempt may not meet again."""


def fetch(
    name: str | Record,
    data_dir: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
    progress: Progress | None = None,
    retries: int = 3,
    *,
    timeout: float = 30.0,
    longest: float = _LONGEST,
    backoff: float = 1.0,
) -> Status:
    """Download what is missing of a data set, and check it.

    Files that are there and sound are kept; damaged ones in the target folder are replaced. Each
    file is written beside its place, synchronised, and renamed, so that an interruption leaves
    nothing half-written behind.

    Parameters
    ----------
    name : "fashion-mnist" or "cifar10" ("mnist" is bundled: nothing to do).
    data_dir : the files go to `data_dir/name`; otherwise below `$SNNR_DATA_DIR`, otherwise into
        the user's cache.
    base_url : http(s) address of a folder that holds the files, instead of the publisher's.
    progress : called as progress(file, bytes done, bytes in all or None).
    retries : further attempts after a failed one, each waiting twice as long.
    timeout : seconds after which an attempt has failed that has no answer, or in which less than
        1 KiB a second came.
    longest : seconds after which an attempt has failed in any case.
    backoff : seconds before the first further attempt.

    Raises
    ------
    DataError : a file could not be had or has the wrong checksum; the message names the address.
    """
    record = lookup(name)
    if retries < 0 or timeout <= 0 or longest <= 0 or backoff < 0:
        raise DataError(
            f"retries (={retries}) and backoff (={backoff}) must not be negative, and timeout "
            f"(={timeout}) and longest (={longest}) must be positive"
        )
    if record.bundled:
        return status_of(record, data_dir)
    bases = (base_url,) if base_url is not None else record.urls
    for base in bases:
        parts = urllib.parse.urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise DataError(f"base_url (={base!r}) must be an http:// or https:// address")
    if not bases:
        raise DataError(f"{record.name} has no address to download from; give a base_url")
    if data_dir is None:
        found = find(record, None)
        if found and all(_is_sound(record, f, found.paths[f.name]) for f in record.files):
            return status_of(record, None)

    folder = home(record, data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be created ({error}); choose another with --data-dir"
        ) from error
    for file in record.files:
        target = folder / file.name
        if not _is_sound(record, file, target):
            limits = (timeout, longest)
            content = _obtain(record, file, folder, bases, progress, retries, limits, backoff)
            _store(content, target)
    return status_of(record, data_dir)


def _is_sound(record: Record, file: File, path: Path) -> bool:
    """True when the file is there and passes its checksum."""
    try:
        if path.stat().st_size > max(file.packed_limit, file.size):
            return False
        verify_file(record, file, path.read_bytes(), str(path))
    except (OSError, DataError):
        return False
    return True


def _obtain(
    record: Record,
    file: File,
    folder: Path,
    bases: tuple[str, ...],
    progress: Progress | None,
    retries: int,
    limits: tuple[float, float],
    backoff: float,
) -> bytes:
    """Download one file: each address in turn, then all of them again after a pause."""
    failures: dict[str, str] = {}
    dead: set[str] = set()
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(backoff * 2 ** (attempt - 1))
        for base in bases:
            url = urllib.parse.urljoin(base.rstrip("/") + "/", file.name)
            if url in dead:
                continue
            try:
                return _download(record, file, url, progress, *limits)
            except _Passing as error:
                failures[url] = str(error)
            except urllib.error.HTTPError as error:
                failures[url] = f"HTTP {error.code} {error.reason}"
                error.close()
                if error.code not in _PASSING:
                    dead.add(url)
            except (OSError, http.client.HTTPException) as error:
                failures[url] = str(getattr(error, "reason", error)) or type(error).__name__
        if len(dead) == len(bases):
            break
    told = "; ".join(f"{url}: {why}" for url, why in failures.items())
    raise DataError(
        f"{file.name} of {record.name} could not be downloaded ({told}); check the connection, "
        f"or put the file into {folder} by hand"
    )


def _download(
    record: Record,
    file: File,
    url: str,
    progress: Progress | None,
    timeout: float,
    longest: float,
) -> bytes:
    """One attempt: the content, whole and with the right checksum."""
    started = since = time.monotonic()
    body, before = bytearray(), 0
    with _answer(url, timeout) as answer:
        length = answer.headers.get("Content-Length")
        total = int(length) if length is not None and length.isdigit() else None
        if total is not None and total > file.packed_limit:
            raise _Passing(f"{total} bytes announced, at most {file.packed_limit} expected")
        # read1 comes back with whatever has arrived, so that the clock is looked at
        while block := answer.read1(_BLOCK):
            body += block
            if len(body) > file.packed_limit:
                raise _Passing(f"more than the {file.packed_limit} bytes expected")
            now = time.monotonic()
            if now - started > longest:
                raise _Passing(f"not done after {longest:g} s, with {len(body)} bytes")
            if now - since > timeout:
                if len(body) - before < _SLOWEST * (now - since):
                    raise _Passing(f"less than {_SLOWEST} bytes a second for {timeout:g} s")
                since, before = now, len(body)
            if progress is not None:
                progress(file.name, len(body), total)
    if total is not None and len(body) != total:
        raise _Passing(f"connection ended after {len(body)} of {total} bytes")
    content = bytes(body)
    try:
        verify_file(record, file, content, url)
    except DataError as error:
        expected = file.packed_md5[0] if file.packed_md5 else file.md5
        raise _Passing(f"wrong content, MD5 {md5(content)}, expected {expected}") from error
    return content


def _answer(url: str, timeout: float) -> http.client.HTTPResponse:
    """The answer's head. A server may send that byte by byte as well, and so it is waited for in a
    thread of its own, which is left behind when time is up."""
    request = urllib.request.Request(url, headers={"User-Agent": "snnr"})
    outcome: list[http.client.HTTPResponse | Exception] = []
    late = threading.Event()

    def ask() -> None:
        try:
            outcome.append(urllib.request.urlopen(request, timeout=timeout))
        except (OSError, http.client.HTTPException, ValueError) as error:
            outcome.append(error)
        if late.is_set() and isinstance(outcome[0], http.client.HTTPResponse):
            outcome[0].close()

    thread = threading.Thread(target=ask, daemon=True, name="snnr-download")
    thread.start()
    thread.join(2 * timeout)
    if not outcome:
        late.set()
        raise _Passing(f"no answer within {2 * timeout:g} s")
    answer = outcome[0]
    if isinstance(answer, ValueError):
        raise _Passing(f"an address that makes no sense ({answer})")
    if isinstance(answer, Exception):
        raise answer
    return answer


def _store(content: bytes, target: Path) -> None:
    """Write beside the target, synchronise, rename; on failure nothing is left."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, target)
        if os.name == "posix":  # the rename itself reaches the disk
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error}); free some space, check its permissions, or "
            "choose another folder with --data-dir"
        ) from error
    finally:
        part.unlink(missing_ok=True)
