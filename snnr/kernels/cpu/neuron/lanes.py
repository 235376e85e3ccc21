"""The scalar equations of `snnr.kernels.rules` on whole registers.

A rule is called while the kernel is compiled, with `Lanes` for its floats: every operation of the
rule becomes one vector instruction. So the equations stay written once, and a kernel can keep the
neurons of many time steps in registers, which compilers do not do for loops over arrays.
"""

from typing import Any, Self

from llvmlite import ir

from snnr.kernels.cpu.parts.vector import Vectors


class Lanes:
    """A register of floats, or of truth values, that a rule computes with."""

    #: NumPy's scalars leave the operation to this class
    __array_ufunc__ = None

    def __init__(self, builder: Any, v: Vectors, value: Any) -> None:
        self.builder = builder
        self.v = v
        self.value = value

    def _other(self, x: Any) -> Any:
        return x.value if isinstance(x, Lanes) else self.v.constant(float(x))

    def _made(self, value: Any) -> Self:
        return type(self)(self.builder, self.v, value)

    def __add__(self, x: Any) -> Self:
        return self._made(self.builder.fadd(self.value, self._other(x)))

    def __radd__(self, x: Any) -> Self:
        return self._made(self.builder.fadd(self._other(x), self.value))

    def __sub__(self, x: Any) -> Self:
        return self._made(self.builder.fsub(self.value, self._other(x)))

    def __rsub__(self, x: Any) -> Self:
        return self._made(self.builder.fsub(self._other(x), self.value))

    def __mul__(self, x: Any) -> Self:
        return self._made(self.builder.fmul(self.value, self._other(x)))

    def __truediv__(self, x: Any) -> Self:
        return self._made(self.builder.fdiv(self.value, self._other(x)))

    def __rtruediv__(self, x: Any) -> Self:
        return self._made(self.builder.fdiv(self._other(x), self.value))

    def __ge__(self, x: Any) -> Self:
        return self._made(self.builder.fcmp_ordered(">=", self.value, self._other(x)))

    def undefined(self) -> Self:
        """Where it is NaN."""
        return self._made(self.builder.fcmp_unordered("uno", self.value, self.value))

    def choose(self, yes: "Lanes | float", no: "Lanes | float") -> Self:
        """`yes` where this is true, `no` where it is not."""
        return self._made(self.builder.select(self.value, self._other(yes), self._other(no)))


def small(v: Vectors, number: int) -> Any:
    """A register of as many bytes as `v` has lanes."""
    return ir.Constant(ir.VectorType(ir.IntType(8), v.lanes), [number] * v.lanes)
