"""cuBLAS by ctypes, with a library that stands in for it."""

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from snnr.errors import DeviceError
from snnr.kernels.cuda import blas, device
from snnr.kernels.cuda.memory import Memory, copy_in, copy_out, empty
from snnr.kernels.cuda.parts import products

from ..kernels.standin import StandIn
from .desk import Desk


@pytest.fixture
def library() -> Iterator[StandIn]:
    device.use(Desk())
    yield StandIn()
    device.use(None)


def operand(generator: np.random.Generator, m: int, n: int, turned: bool, dtype: str) -> Memory:
    return copy_in(generator.standard_normal((n, m) if turned else (m, n)).astype(dtype))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("turned", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 7), (6, 2, 1), (4, 3, 0)])
def test_rows_first(
    library: StandIn, size: tuple[int, int, int], turned: tuple[int, int], dtype: str
) -> None:
    (m, n, k) = size
    generator = np.random.default_rng(0)
    a = operand(generator, m, k, bool(turned[0]), dtype)
    b = operand(generator, k, n, bool(turned[1]), dtype)
    before = generator.standard_normal((m, n)).astype(dtype)
    made = blas.Blas(library)
    for alpha, beta in ((1.0, 0.0), (0.5, -2.0)):
        out = copy_in(before.copy())
        made.gemm(a, b, out, bool(turned[0]), bool(turned[1]), alpha, beta)
        left = copy_out(a).T if turned[0] else copy_out(a)
        right = copy_out(b).T if turned[1] else copy_out(b)
        expected = alpha * (left @ right) + beta * before
        np.testing.assert_allclose(copy_out(out), expected, rtol=1e-5, atol=1e-6)


def test_two_passes_of_tf32_are_nearly_float32(library: StandIn) -> None:
    generator = np.random.default_rng(1)
    x = (generator.random((16, 64)) < 0.5).astype("f4")
    w = generator.standard_normal((64, 8)).astype("f4")
    expected = x.astype("f8") @ w.astype("f8")
    made, errors = blas.Blas(library), {}
    for way in (blas.TF32, blas.SPLIT):
        out = empty(expected.shape)
        products.gemm_blas(made, way, copy_in(x), copy_in(w), out)
        errors[way] = float(np.abs(copy_out(out) - expected).max())
    assert errors[blas.TF32] > 1e-3
    assert errors[blas.SPLIT] < 1e-5


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_halves_keep_what_is_not_finite(library: StandIn, odd: float) -> None:
    w = np.array([[1.0, 2.0], [odd, 3.0]], "f4")
    out = empty((1, 2))
    products.gemm_blas(
        blas.Blas(library), blas.SPLIT, copy_in(np.ones((1, 2), "f4")), copy_in(w), out
    )
    np.testing.assert_array_equal(copy_out(out), w.sum(axis=0, keepdims=True))


def test_the_stream_in_use_and_a_workspace(
    library: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting the stream takes the workspace away: both are set, in this order, at every change."""
    made = blas.Blas(library)
    a = copy_in(np.eye(2, dtype="f4"))
    for stream in (0, 0, 77, 77, 0):
        monkeypatch.setattr(device, "stream", lambda stream=stream: stream)
        made.gemm(a, a, empty((2, 2)))
        assert library.stream == stream
        assert library.workspace == 32 << 20
    follow = ["cublasSetStream_v2", "cublasSetWorkspace_v2"]
    once = "cublasSgemm_v2"
    assert library.calls[2:] == [*follow, once, once, *follow, once, once, *follow, once]


@pytest.mark.parametrize(
    ("name", "status", "known"),
    [
        ("cublasCreate_v2", 3, "ALLOC_FAILED"),
        ("cublasSgemm_v2", 13, "EXECUTION_FAILED"),
        ("cublasSetWorkspace_v2", 99, "unknown"),
    ],
)
def test_a_status_is_told_by_name(library: StandIn, name: str, status: int, known: str) -> None:
    library.status[name] = status
    a = copy_in(np.eye(2, dtype="f4"))
    with pytest.raises(DeviceError, match=rf"{name} failed with status {status} \({known}\)"):
        blas.Blas(library).gemm(a, a, empty((2, 2)))


def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, meant in (("", "strict"), ("0", "strict"), ("1", "tf32"), ("split", "split")):
        monkeypatch.setenv("SNNR_CUDA_TF32", said)
        assert blas.precision() == meant
    monkeypatch.setenv("SNNR_CUDA_TF32", "yes")
    with pytest.raises(DeviceError, match="SNNR_CUDA_TF32='yes': expected 0"):
        blas.precision()


def test_what_is_left_to_the_library() -> None:
    """Never anything without one; rounding only where it was asked for; spikes never strictly."""
    large, small = (4096, 4096, 4096), (64, 10, 800)
    f4, f8 = np.float32, np.float64
    for said in ("strict", "tf32", "split"):
        for spikes in (False, True):
            assert blas.taken(*large, f4, spikes, False, said) is None
            assert blas.taken(*small, f4, spikes, True, said) is None
            assert blas.taken(1 << 31, 64, 64, f4, spikes, True, said) is None
            assert blas.taken(1 << 20, 1 << 20, 0, f4, spikes, True, said) is None
        assert blas.taken(*large, f8, False, True, said) == "strict"
        assert blas.taken(*large, f8, True, True, said) is None
    assert blas.taken(*large, f4, False, True, "strict") == "strict"
    assert blas.taken(*large, f4, False, True, "split") == "strict"
    assert blas.taken(*large, f4, False, True, "tf32") == "tf32"
    assert blas.taken(*large, f4, True, True, "strict") is None
    assert blas.taken(*large, f4, True, True, "tf32") == "tf32"
    assert blas.taken(*large, f4, True, True, "split") == "split"


def test_no_card_no_library(library: StandIn) -> None:
    assert blas.blas() is None


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from cuda import pathfinder

    def nothing(name: str) -> None:
        raise RuntimeError(name)

    monkeypatch.setattr(pathfinder, "load_nvidia_dynamic_lib", nothing)
    monkeypatch.setattr(blas.ctypes.util, "find_library", lambda name: None)
    assert blas.find() is None
    monkeypatch.setattr(blas.ctypes.util, "find_library", lambda name: "libcublas.so.none")
    assert blas.find() is None
