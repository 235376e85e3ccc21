"""A library that stands in for cuBLAS: it takes the arguments that the real one takes, checks them
as the real one would, and computes with NumPy from the addresses, in columns first."""

import ctypes
from typing import Any

import numpy as np

from snnr.kernels.cuda import blas

_R_32F, _TF32 = 0, 77


class StandIn:
    """`calls` has the name of each call in order; `status` is what calls of a name return."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status: dict[str, int] = {}
        self.workspace = 0
        for name in blas._SIGNATURES:
            setattr(self, name, self._function(name))

    def _function(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            kinds = call.argtypes  # type: ignore[attr-defined]
            assert len(arguments) == len(kinds)
            for kind, argument in zip(kinds, arguments, strict=True):
                kind.from_param(argument)
            self.calls.append(name)
            if name in self.status:
                return self.status[name]
            return getattr(self, "_" + name.removeprefix("cublas").removesuffix("_v2"))(*arguments)

        return call

    def _Create(self, handle: Any) -> int:
        handle._obj.value = 0x5EED
        return 0

    def _SetStream(self, handle: Any, stream: int) -> int:
        self.stream = stream
        self.workspace = 0  # as the real one does
        return 0

    def _SetWorkspace(self, handle: Any, address: int, nbytes: int) -> int:
        assert address
        self.workspace = nbytes
        return 0

    def _SetMathMode(self, handle: Any, mode: int) -> int:
        assert mode == 0
        return 0

    def _Sgemm(self, *arguments: Any) -> int:
        return self._gemm(np.float32, False, *arguments)

    def _Dgemm(self, *arguments: Any) -> int:
        return self._gemm(np.float64, False, *arguments)

    def _GemmEx(self, handle: Any, ta: int, tb: int, m: int, n: int, k: int, alpha: Any, a: int,
                a_type: int, lda: int, b: int, b_type: int, ldb: int, beta: Any, c: int,
                c_type: int, ldc: int, compute: int, algorithm: int) -> int:  # fmt: skip
        assert (a_type, b_type, c_type, compute, algorithm) == (_R_32F,) * 3 + (_TF32, -1)
        return self._gemm(
            np.float32, True, handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc
        )

    def _gemm(self, dtype: Any, tf32: bool, handle: Any, ta: int, tb: int, m: int, n: int, k: int,
              alpha: Any, a: int, lda: int, b: int, ldb: int, beta: Any, c: int,
              ldc: int) -> int:  # fmt: skip
        assert handle.value == 0x5EED
        assert self.workspace, "results do not repeat without a workspace of one's own"
        kind = ctypes.c_double if dtype == np.float64 else ctypes.c_float
        assert type(alpha._obj) is type(beta._obj) is kind

        def matrix(address: int, rows: int, columns: int, line: int) -> np.ndarray:
            assert line >= max(rows, 1), "INVALID_VALUE"
            flat = np.ctypeslib.as_array((kind * (line * columns)).from_address(address))
            return flat.reshape(columns, line)[:, :rows].T

        left = matrix(a, k, m, lda).T if ta else matrix(a, m, k, lda)
        right = matrix(b, n, k, ldb).T if tb else matrix(b, k, n, ldb)
        if tf32:
            left, right = truncated(left), truncated(right)
        out = matrix(c, m, n, ldc)
        before = beta._obj.value * out if beta._obj.value else 0
        with np.errstate(invalid="ignore"):
            out[...] = alpha._obj.value * (left.astype("f8") @ right.astype("f8")) + before
        return 0


def truncated(x: np.ndarray) -> np.ndarray:
    """What is left of float32 in TF32."""
    return (np.ascontiguousarray(x).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
