"""The cache of compiled kernels: never stale, never in the way, never for ever."""

import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core.errors import NumbaPerformanceWarning

from snnr.kernels import cache

ROOT = Path(__file__).resolve().parent.parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")

ADAM = """
import json
import numpy as np
from snnr.kernels import jit
warm = jit.cache_is_warm()
from snnr.kernels.cpu import OPERATIONS, optim
w, g, m, v = (np.full(4, x, np.float32) for x in (0, 1, 0, 0))
OPERATIONS["adam_step"](w, g, m, v, np.array([[0.5, 1.0, 0, 0]]), 0, 0.0, 0.0, 0.0)
kernels = [k for k in vars(optim).values() if hasattr(k, "stats")]
hits = sum(sum(k.stats.cache_hits.values()) for k in kernels)
misses = sum(sum(k.stats.cache_misses.values()) for k in kernels)
print(json.dumps(dict(w=float(w[0]), warm=warm, warm_after=jit.cache_is_warm(),
                      compiled=misses > 0, loaded=hits > 0, folder=str(jit._FOLDER))))
"""


def run(script: str, cwd: Path = ROOT, **environment: object) -> Any:
    """The JSON that `script` prints; it says nothing else."""
    told, said = listen(script, cwd, **environment)
    assert said == ""
    return told


def listen(script: str, cwd: Path = ROOT, **environment: object) -> tuple[Any, str]:
    """The JSON that `script` prints, and what it says on standard error."""
    clean = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd, env=clean | {name: str(value) for name, value in environment.items()},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package's kernels to change."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "snnr", tmp_path / "snnr", ignore=skip)
    return tmp_path


def test_a_changed_helper_is_never_served_from_the_cache(copy: Path) -> None:
    cache = copy / "cache"
    first = run(ADAM, copy, NUMBA_CACHE_DIR=cache)
    assert first["w"] == -0.5
    assert first["compiled"]
    assert (first["warm"], first["warm_after"]) == (False, True)
    assert Path(first["folder"]).parent == cache / "snnr-kernels"
    again = run(ADAM, copy, NUMBA_CACHE_DIR=cache)
    assert again == first | {"warm": True, "compiled": False, "loaded": True}

    rules = copy / "snnr/kernels/rules.py"
    text = rules.read_text(encoding="utf-8")
    assert "return step_size * m" in text
    rules.write_text(text.replace("return step_size * m", "return 3 * step_size * m"))
    changed = run(ADAM, copy, NUMBA_CACHE_DIR=cache)
    assert changed["w"] == -1.5
    assert changed["compiled"]
    assert not changed["warm"]
    assert changed["folder"] != first["folder"]


def folder_of(copy: Path) -> Path:
    """Where the kernels of a copy go (another process would say the same, a second later)."""
    spec = importlib.util.spec_from_file_location("copied", copy / "snnr/kernels/cache.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = module.cache_folder()
    assert isinstance(folder, Path)
    return folder


def test_a_change_in_another_backend_leaves_the_cache_warm(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(copy))
    script = "import json; from snnr.kernels import jit; print(json.dumps(str(jit._FOLDER)))"
    folder = folder_of(copy)
    assert run(script, copy, NUMBA_CACHE_DIR=copy) == str(folder)
    for name in ("reference/conv.py", "reference/new.py", "cuda/conv.py", "operations.py"):
        path = copy / "snnr/kernels" / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write("# changed\n")
        assert folder_of(copy) == folder, name
    for name in ("cpu/parts/rows.py", "cpu/parts/new.py", "jit.py", "rules.py"):
        with (copy / "snnr/kernels" / name).open("a") as file:
            file.write("# changed\n")
        changed = folder_of(copy)
        assert changed != folder, name
        folder = changed
    assert run(script, copy, NUMBA_CACHE_DIR=copy) == str(folder)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the kernels of ADAM in it, to copy."""
    place = tmp_path_factory.mktemp("filled")
    assert run(ADAM, NUMBA_CACHE_DIR=place)["w"] == -0.5
    return place


def flip(content: bytes) -> bytes:
    """The middle bit is another."""
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 8]) + content[half + 1 :]


@pytest.mark.parametrize("ending", ["*.nbi", "*.nbc"])
def test_a_damaged_file_is_made_anew(ending: str, filled: Path, tmp_path: Path) -> None:
    """A bit that changed, a file that was cut, an empty one; none of them is loaded."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    damages: list[Callable[[bytes], bytes]] = [flip, lambda whole: whole[:-100], lambda whole: b""]
    files = sorted(tmp_path.rglob(ending))
    assert len(files) >= len(damages)
    for path, damage in zip(files, itertools.cycle(damages), strict=False):
        path.write_bytes(damage(path.read_bytes()))
    told, said = listen(ADAM, NUMBA_CACHE_DIR=tmp_path)
    assert told["w"] == -0.5
    assert told["compiled"]
    assert not told["loaded"]
    assert "is damaged" in said
    assert said.count("RuntimeWarning") == 1
    again = run(ADAM, NUMBA_CACHE_DIR=tmp_path)
    assert (again["w"], again["compiled"], again["loaded"]) == (-0.5, False, True)


@POSIX
def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """A limit on the size of files fails in the same place as a full disk, and needs no root."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
    told, said = listen(limit + ADAM, NUMBA_CACHE_DIR=tmp_path)
    assert told["w"] == -0.5
    assert "cannot be written to (File too large)" in said
    assert said.count("RuntimeWarning") == 1
    assert not list(tmp_path.rglob("*.tmp.*"))
    again = run(ADAM, NUMBA_CACHE_DIR=tmp_path)
    assert (again["w"], again["compiled"]) == (-0.5, True)


@POSIX
def test_without_a_writable_home_the_temporary_folder_serves(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    script = "import json; from snnr.kernels import jit; print(json.dumps(str(jit._FOLDER)))"
    folder = Path(run(script, HOME=file, XDG_CACHE_HOME=file, TMPDIR=tmp_path))
    assert folder.parent == tmp_path / f"snnr-{os.getuid()}" / "snnr-kernels"
    assert (tmp_path / f"snnr-{os.getuid()}").stat().st_mode & 0o777 == 0o700


@POSIX
def test_without_any_writable_folder_kernels_compile_uncached(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    nowhere = f"import tempfile; tempfile.tempdir = {str(file)!r}\n"
    told = run(nowhere + ADAM, HOME=file, XDG_CACHE_HOME=file)
    assert told["folder"] == "None"
    assert told["w"] == -0.5
    assert not told["warm_after"]


@POSIX
def test_a_folder_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(tmp_path / "first"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    folder = cache.cache_folder()
    assert folder is not None
    assert folder.is_relative_to(tmp_path / "first")
    folder.chmod(0o777)
    second = cache.cache_folder()
    assert second is not None
    assert second.is_relative_to(tmp_path / "second")
    second.rmdir()
    second.symlink_to(tmp_path, target_is_directory=True)
    third = cache.cache_folder()
    assert third is None or not third.is_relative_to(tmp_path)


@POSIX
def test_a_folder_that_others_could_replace_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = tmp_path / "common"
    (common / "mine").mkdir(parents=True, mode=0o700)
    (tmp_path / "link").symlink_to(common / "mine", target_is_directory=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    for mode, used in ((0o777, False), (0o1777, True), (0o700, True)):
        common.chmod(mode)
        for place in (common / "mine", common / "mine" / ".." / "mine", tmp_path / "link"):
            monkeypatch.setattr(cache.config, "CACHE_DIR", str(place))
            folder = cache.cache_folder()
            assert folder is not None
            assert folder.is_relative_to(place if used else tmp_path / "second")


@POSIX
def test_a_folder_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.unreachable(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.unreachable(tmp_path) == (tmp_path.stat().st_uid == 0)
    monkeypatch.undo()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o770)
    monkeypatch.setattr(cache, "_own_group", lambda group: False)
    assert not cache.unreachable(tmp_path / "shared")
    monkeypatch.setattr(cache, "_own_group", lambda group: True)
    assert cache.unreachable(tmp_path / "shared")


def test_folders_out_of_use_are_removed(tmp_path: Path) -> None:
    names = ["0123456789abcdef", "fedcba9876543210", "00000000deadbeef", "somebody-elses00", "beef"]
    for name in names:
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "kernel.nbi").touch()
    now = time.time()
    for name in names[1:]:
        os.utime(tmp_path / name, (now - 40 * 86400, now - 40 * 86400))
    (tmp_path / "ffffffffffffffff").touch()
    cache.remove_stale(tmp_path / names[2])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*names, "ffffffffffffffff"} - {names[1]}


def test_a_folder_in_use_is_marked_and_a_fresh_one_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(tmp_path))
    month_ago = time.time() - 40 * 86400
    stale = tmp_path / "snnr-kernels" / "0123456789abcdef"
    stale.mkdir(parents=True, mode=0o700)
    os.utime(stale, (month_ago, month_ago))
    folder = cache.cache_folder()
    assert folder is not None
    assert not stale.exists()
    os.utime(folder, (month_ago, month_ago))
    assert cache.cache_folder() == folder
    assert folder.stat().st_mtime > time.time() - 60


def test_variants_of_one_function_do_not_share_code(tmp_path: Path) -> None:
    (tmp_path / "variants.py").write_text(
        "from snnr.kernels.jit import jit\n"
        "def odd(x):\n"
        "    return x != x\n"
        "exact, loose = jit()(odd), jit(fastmath={'nnan'})(odd)\n"
    )
    script = (
        f"import json, sys; sys.path.append({str(tmp_path)!r}); "
        "from variants import exact, loose; "
        "print(json.dumps([exact(float('nan')), loose(float('nan'))]))"
    )
    for _ in range(2):
        assert run(script, NUMBA_CACHE_DIR=tmp_path / "cache") == [True, False]


def test_importing_compiles_nothing(tmp_path: Path) -> None:
    script = """
import json, sys
import snnr
early = sorted({"numba", "scipy", "h5py"} & set(sys.modules))
from numba.core import event
with event.install_recorder("numba:compile") as recorder:
    import snnr.cli, snnr.training, snnr.models, snnr.checkpoint, snnr.kernels.cpu
from snnr.kernels import jit
print(json.dumps([early, len(recorder.buffer), jit.cache_is_warm()]))
"""
    assert run(script, NUMBA_CACHE_DIR=tmp_path) == [[], 0, False]


def test_warnings_of_numba_are_errors_here() -> None:
    def serial(x: float) -> float:
        return x + 1

    with pytest.raises(NumbaPerformanceWarning):
        numba.njit(serial, parallel=True)(1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        assert numba.njit(serial, parallel=True)(1.0) == 2.0
