"""Downloads, from a server on this machine that misbehaves when told to."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import snnr.data

from snnr.errors import DataError


class Server(ThreadingHTTPServer):
    """Serves `files`; `script[path]` lists how the next answers for a path go wrong."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/{name}": content for name, content in files.items()}
        self.script: dict[str, list[str]] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        script = self.server.script.get(self.path, [])
        trouble = script.pop(0) if script else ""
        content = self.server.files.get(self.path)
        if content is None or trouble.isdigit():
            self.send_error(int(trouble or 404))
            return
        if trouble == "late":
            self._drip(b"HTTP/1.1 200 OK\r\n" + b"x" * 10_000)
            return
        self.send_response(200)
        if trouble == "wrong":
            content = bytes(len(content))
        if trouble == "huge":
            self.send_header("Content-Length", str(1 << 40))
        elif trouble not in ("endless", "unannounced"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if trouble == "drop":
            content = content[: len(content) // 2]
        if trouble == "endless":
            content = bytes(100_000)
        if trouble == "drip":
            self._drip(content)
        elif trouble != "huge":
            self.wfile.write(content)

    def _drip(self, content: bytes) -> None:
        """A byte at a time, until the other side has had enough."""
        with contextlib.suppress(OSError):
            for byte in content:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)


@pytest.fixture
def server(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    running = Server(tiny.files)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def fetch(tiny: Any, server: Server, folder: Path, **options: Any) -> snnr.data.Status:
    settings = {"base_url": server.url, "backoff": 0.0, "timeout": 5.0, **options}
    return snnr.data.fetch(tiny.record, folder, **settings)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_fetched_files_load(tiny: Any, server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    status = fetch(tiny, server, tmp_path, progress=lambda *call: seen.append(call))
    assert (status.state, status.folder) == ("present", str(tmp_path / "tiny"))
    assert names(tmp_path) == sorted(tiny.files)
    assert {name: done for name, done, total in seen if done == total} == {
        name: len(content) for name, content in tiny.files.items()
    }
    assert snnr.data.load(tiny.record, data_dir=tmp_path).x_train.shape == (6, 1, 3, 4)


def test_goes_to_the_environments_folder_or_the_cache(
    tiny: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = replace(tiny.record, urls=(server.url,))
    assert snnr.data.fetch(record).folder == str(tmp_path / "cache" / "snnr" / "data" / "tiny")
    (tmp_path / "cache" / "snnr" / "data" / "tiny" / "y_test.idx.gz").unlink()
    monkeypatch.setenv("SNNR_DATA_DIR", str(tmp_path / "set"))
    assert snnr.data.fetch(record).folder == str(tmp_path / "set" / "tiny")


def test_what_is_sound_is_kept_and_what_is_damaged_replaced(
    tiny: Any, server: Server, tmp_path: Path
) -> None:
    folder = tiny.write(tmp_path / "tiny")
    (folder / "y_test.idx.gz").write_bytes(b"damaged")
    fetch(tiny, server, tmp_path)
    assert server.requests == ["/y_test.idx.gz"]
    assert (folder / "y_test.idx.gz").read_bytes() == tiny.files["y_test.idx.gz"]


def test_nothing_to_do_when_it_is_found_elsewhere(
    tiny: Any, server: Server, tmp_path: Path
) -> None:
    system = tiny.write(tmp_path / "system")
    record = replace(tiny.record, system_folder=str(system), urls=(server.url,))
    assert snnr.data.fetch(record).folder == str(system)
    assert server.requests == []


def test_bundled_needs_no_download() -> None:
    assert snnr.data.fetch("mnist").state == "bundled"


@pytest.mark.parametrize("trouble", ["wrong", "drop", "503", "429", "endless", "huge"])
def test_passing_trouble_is_retried(
    tiny: Any, server: Server, tmp_path: Path, trouble: str
) -> None:
    server.script["/x_train.idx.gz"] = [trouble, trouble]
    fetch(tiny, server, tmp_path)
    assert server.requests.count("/x_train.idx.gz") == 3
    assert names(tmp_path) == sorted(tiny.files)


def test_length_need_not_be_announced(tiny: Any, server: Server, tmp_path: Path) -> None:
    server.script["/x_train.idx.gz"] = ["unannounced"]
    fetch(tiny, server, tmp_path, retries=0)


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("wrong", "wrong content, MD5 .*, expected "),
        ("drop", r"connection ended after \d+ of \d+ bytes|IncompleteRead"),
        ("503", "HTTP 503"),
        ("endless", "more than the 10000 bytes"),
        ("huge", "1099511627776 bytes announced"),
    ],
)
def test_lasting_trouble_is_told_and_leaves_nothing(
    tiny: Any, server: Server, tmp_path: Path, trouble: str, message: str
) -> None:
    server.script["/x_train.idx.gz"] = [trouble] * 9
    with pytest.raises(DataError, match=message) as caught:
        fetch(tiny, server, tmp_path, retries=1)
    assert server.requests == ["/x_train.idx.gz"] * 2
    assert f"{server.url}/x_train.idx.gz" in str(caught.value)
    assert names(tmp_path) == []


def test_not_found_is_not_retried(tiny: Any, server: Server, tmp_path: Path) -> None:
    del server.files["/x_train.idx.gz"]
    with pytest.raises(DataError, match="HTTP 404"):
        fetch(tiny, server, tmp_path)
    assert server.requests == ["/x_train.idx.gz"]


def test_the_second_address_is_tried(tiny: Any, server: Server, tmp_path: Path) -> None:
    record = replace(tiny.record, urls=(f"{server.url}/nowhere", server.url))
    assert snnr.data.fetch(record, tmp_path, retries=0).state == "present"


def test_nobody_listens(tiny: Any, server: Server, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="could not be downloaded"):
        fetch(tiny, server, tmp_path, retries=1)


def test_an_interrupted_replacement_keeps_the_old_file(
    tiny: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.write(tmp_path / "tiny")
    (folder / "x_train.idx.gz").write_bytes(b"old")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(tiny, server, tmp_path)
    assert names(tmp_path) == sorted(tiny.files)
    assert (folder / "x_train.idx.gz").read_bytes() == b"old"


def test_a_folder_that_cannot_be_made(tiny: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be created"):
        fetch(tiny, server, tmp_path / "file")


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "file:///etc/"},
        {"base_url": "ftp://host/"},
        {"base_url": "http:"},
        {"retries": -1},
        {"timeout": 0},
        {"backoff": -1},
    ],
)
def test_senseless_settings(
    tiny: Any, server: Server, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(DataError):
        fetch(tiny, server, tmp_path, **options)


def test_a_record_without_address(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="base_url"):
        snnr.data.fetch(tiny.record, tmp_path)


@pytest.mark.parametrize(
    ("trouble", "limits", "told"),
    [
        ("drip", {"timeout": 0.2}, "less than 1024 bytes a second"),
        ("drip", {"longest": 0.2}, r"not done after 0\.2 s"),
        ("late", {"timeout": 0.2}, r"no answer within 0\.4 s"),
    ],
)
def test_a_download_that_drips_ends(
    tiny: Any, server: Server, tmp_path: Path, trouble: str, limits: dict[str, float], told: str
) -> None:
    server.script["/x_train.idx.gz"] = [trouble]
    started = time.monotonic()
    with pytest.raises(DataError, match=told):
        fetch(tiny, server, tmp_path, retries=0, **limits)
    assert time.monotonic() - started < 2
    assert fetch(tiny, server, tmp_path, **limits).state == "present"
