"""Dense products by cuBLAS, where its library is present, through ctypes.

Matrices are row-major here and column-major there: out.T = b.T @ a.T, so operands change places.
One handle serves the process; calls are short and take turns. It works on the stream that is being
captured, or the default one, in a workspace of its own, so that results repeat.
"""

import ctypes
import ctypes.util
import os
import threading
from functools import cache
from typing import Any

import numpy as np

from snnr.errors import DeviceError
from snnr.kernels.cuda import device
from snnr.kernels.cuda.memory import Memory, empty

#: products of float32: as they are; rounded to TF32 (10 bits of mantissa) on the way into the
#: tensor cores; in two such passes where one operand is spikes, for nearly all bits
STRICT, TF32, SPLIT = "strict", "tf32", "split"
#: what the environment variable SNNR_CUDA_TF32 may be
PRECISIONS = {"": STRICT, "0": STRICT, "1": TF32, "split": SPLIT}

#: multiply-adds from which a call of the library is worth it
LARGE = 1 << 26
#: those from which spikes are worth being made floats for the tensor cores
LARGE_SPIKES = 1 << 31

_WORKSPACE = 32 << 20
_MOST = (1 << 31) - 1

# from cublas_api.h and library_types.h
_STATUS = {
    1: "NOT_INITIALIZED", 3: "ALLOC_FAILED", 7: "INVALID_VALUE", 8: "ARCH_MISMATCH",
    11: "MAPPING_ERROR", 13: "EXECUTION_FAILED", 14: "INTERNAL_ERROR", 15: "NOT_SUPPORTED",
    16: "LICENSE_ERROR",
}  # fmt: skip
_DEFAULT_MATH = 0
_R_32F = 0
_COMPUTE_32F_FAST_TF32 = 77
_GEMM_DEFAULT = -1

_Handle, _Pointer, _Int = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int
_GEMM = [_Handle, _Int, _Int, _Int, _Int, _Int, _Pointer, _Pointer, _Int, _Pointer, _Int, _Pointer,
         _Pointer, _Int]  # fmt: skip
_SIGNATURES: dict[str, list[Any]] = {
    "cublasCreate_v2": [ctypes.POINTER(_Handle)],
    "cublasSetStream_v2": [_Handle, _Pointer],
    "cublasSetWorkspace_v2": [_Handle, _Pointer, ctypes.c_size_t],
    "cublasSetMathMode": [_Handle, _Int],
    "cublasSgemm_v2": _GEMM,
    "cublasDgemm_v2": _GEMM,
    "cublasGemmEx": [_Handle, _Int, _Int, _Int, _Int, _Int, _Pointer, _Pointer, _Int, _Int,
                     _Pointer, _Int, _Int, _Pointer, _Pointer, _Int, _Int, _Int, _Int],
}  # fmt: skip


def precision() -> str:
    """How products of float32 may be rounded, by the environment.

    Raises
    ------
    DeviceError : SNNR_CUDA_TF32 is something else.
    """
    said = os.environ.get("SNNR_CUDA_TF32", "")
    if said not in PRECISIONS:
        raise DeviceError(
            f"SNNR_CUDA_TF32={said!r}: expected 0 (float32 throughout), 1 (TF32 wherever cuBLAS is "
            "used) or 'split' (products with spikes in two passes of TF32)"
        )
    return PRECISIONS[said]


def taken(m: int, n: int, k: int, dtype: Any, spikes: bool, present: bool, said: str) -> str | None:
    """How cuBLAS makes a product of [m, k] and [k, n], or None where our own tiles do.

    spikes : one operand is uint8. present : there is a library.
    """
    if not present or max(m, n, k) > _MOST or min(m, n, k) == 0:
        return None
    double = np.dtype(dtype) == np.float64
    if spikes:
        worth = m * n * k >= LARGE_SPIKES and not double and said != STRICT
        return said if worth else None
    if m * n * k < LARGE:
        return None
    return TF32 if said == TF32 and not double else STRICT


class Blas:
    """cuBLAS with a handle of its own.

    Raises
    ------
    DeviceError : a call failed; the status by name.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._lock = threading.Lock()
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, _Int
        self._handle = _Handle()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._workspace = empty(_WORKSPACE, np.uint8)
        self._call("cublasSetMathMode", self._handle, _DEFAULT_MATH)
        self._stream: int | None = None

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            known = _STATUS.get(status, "unknown")
            raise DeviceError(
                f"cuBLAS: {name} failed with status {status} ({known}); remove the library (the "
                "package nvidia-cublas) to use snnr's own products"
            )

    def _follow(self) -> None:
        """Work on the stream in use; setting it takes the workspace away."""
        stream = device.stream()
        if stream != self._stream:
            self._call("cublasSetStream_v2", self._handle, stream)
            self._call("cublasSetWorkspace_v2", self._handle, _address(self._workspace), _WORKSPACE)
            self._stream = stream

    def gemm(
        self, a: Memory, b: Memory, out: Memory, transpose_a: bool = False,
        transpose_b: bool = False, alpha: float = 1.0, beta: float = 0.0, tf32: bool = False,
    ) -> None:  # fmt: skip
        """out[M, N] = alpha * a @ b + beta * out, as `products.gemm_tiles`; all of one dtype."""
        m, n = out.shape
        k = a.shape[0] if transpose_a else a.shape[1]
        scalar = ctypes.c_double if out.dtype == np.float64 else ctypes.c_float
        factor, rest = scalar(alpha), scalar(beta)
        line_a, line_b, line_out = (max(x.shape[1], 1) for x in (a, b, out))
        head = (self._handle, int(transpose_b), int(transpose_a), n, m, k, ctypes.byref(factor))
        with self._lock:
            self._follow()
            if tf32:
                self._call(
                    "cublasGemmEx", *head, _address(b), _R_32F, line_b, _address(a), _R_32F, line_a,
                    ctypes.byref(rest), _address(out), _R_32F, line_out, _COMPUTE_32F_FAST_TF32,
                    _GEMM_DEFAULT,
                )  # fmt: skip
                return
            name = "cublasDgemm_v2" if out.dtype == np.float64 else "cublasSgemm_v2"
            self._call(
                name, *head, _address(b), line_b, _address(a), line_a, ctypes.byref(rest),
                _address(out), line_out,
            )  # fmt: skip


def _address(memory: Memory) -> int:
    return device.machine().address(memory.array)


def find() -> Any:
    """The library, of the package nvidia-cublas or of the system; None where there is none."""
    try:
        from cuda import pathfinder

        path = pathfinder.load_nvidia_dynamic_lib("cublas").abs_path
    except (ImportError, RuntimeError):  # pathfinder's own error is a RuntimeError
        path = ctypes.util.find_library("cublas")
    try:
        return ctypes.CDLL(path) if path else None
    except OSError:
        return None


@cache
def _opened(process: int) -> Blas | None:
    library = find()
    return None if library is None else Blas(library)


def blas() -> Blas | None:
    """cuBLAS for the card in use, opened once; None where there is none, or no card."""
    return _opened(os.getpid()) if isinstance(device.machine(), device.Card) else None
