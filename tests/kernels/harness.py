"""Runs one operation of a backend beside the NumPy reference and compares everything."""

import os
from typing import Any

import numpy as np

from snnr.kernels.reference import OPERATIONS

#: the CUDA kernels run in Numba's simulator, a thread of the system for each of theirs
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def sized(cases: list[Any], small: list[Any]) -> list[Any]:
    """The cases of a test; those in `small`, odd all the same, where the simulator runs it."""
    return small if SIMULATED else cases


#: relative to the largest value of the expected array
TOLERANCE = {"f4": 2e-5, "f8": 1e-12}


def poisoned(array: np.ndarray) -> np.ndarray:
    """The same array filled with what no kernel should leave: NaN, or 0xAA in every byte."""
    result = np.empty_like(array)
    if array.dtype.kind == "f":
        result.fill(np.nan)
    else:
        result.view(np.uint8).fill(0xAA)
    return result


def same(name: str, result: np.ndarray, expected: np.ndarray, floor: float) -> None:
    """Integers equal; floats within the tolerance of the expected array's largest value, with NaN
    and infinity in the same places."""
    assert result.dtype == expected.dtype
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(result, expected, err_msg=name)
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(result[~finite], expected[~finite], err_msg=name)
    scale = max(float(np.max(np.abs(expected[finite]), initial=0)), floor)
    limit = TOLERANCE[expected.dtype.str[1:]] * scale
    np.testing.assert_allclose(result[finite], expected[finite], rtol=0, atol=limit, err_msg=name)


def compare(
    kernels: Any,
    operation: str,
    outputs: tuple[str, ...],
    updated: tuple[str, ...] = (),
    floor: float = 0.0,
    **arguments: Any,
) -> dict[str, np.ndarray]:
    """Call `operation` in the backend and in the reference; return the reference's arrays.

    `arguments` go by parameter name. `outputs` are poisoned first and must be
    fully written; `updated` are changed in place; every other array must stay as it was. `floor`
    is the least scale for the tolerance (sums that may cancel).
    """
    reference = OPERATIONS[operation]

    def call(function: Any) -> tuple[Any, dict[str, np.ndarray]]:
        mine: dict[str, Any] = {}
        for name, value in arguments.items():
            if not isinstance(value, np.ndarray):
                mine[name] = value
            elif name in outputs:
                mine[name] = poisoned(value)
            elif name in updated:
                mine[name] = value.copy()
            else:
                mine[name] = value  # the very array, so that strided views stay strided
        returned = function(**mine)
        return returned, mine

    before = {k: v.copy() for k, v in arguments.items() if isinstance(v, np.ndarray)}
    expected_return, expected = call(reference)
    returned, result = call(kernels[operation])
    assert returned == expected_return
    for name, copy in before.items():
        if name in outputs or name in updated:
            same(f"{operation}: {name}", result[name], expected[name], floor)
        else:
            np.testing.assert_array_equal(arguments[name], copy, err_msg=f"{name} was written to")
    return expected


def spikes(generator: np.random.Generator, shape: tuple[int, ...], density: float) -> np.ndarray:
    """uint8 zeros and ones."""
    return (generator.random(shape) < density).astype(np.uint8)


def normal(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float32
) -> np.ndarray:
    return generator.standard_normal(shape).astype(dtype)


def pruned(
    generator: np.random.Generator, shape: tuple[int, ...], connectivity: float, dtype: Any
) -> np.ndarray:
    """Random weights of which a share `connectivity` is not zero."""
    w = normal(generator, shape, dtype)
    w[generator.random(shape) >= connectivity] = 0
    return w
