"""Methods that drop and grow connections, on device "cuda": the choices of the oracle."""

from typing import Any

import numpy as np
import pytest

from snnr import optim
from snnr.optim.masked import Masked
from snnr.tensor import Parameter

STEPS = 6
SHAPES = {"0_linear.weight": (9, 7), "1_conv2d.weight": (3, 4, 2, 2), "1_conv2d.bias": (3,)}


def trained(method: str, device: str) -> Any:
    rng = np.random.default_rng(0)
    params = [
        Parameter(
            rng.normal(size=shape).astype(np.float32), name, name.rpartition(".")[2], device=device
        )
        for name, shape in SHAPES.items()
    ]
    kind: Any = optim.METHODS[method]
    often = {"target_connectivity": 0.3, "every": 2, "lr": 0.02, "rounds": 2, "rewind": 0.5}
    known = kind.setting_names()
    optimizer = kind(params, **{name: value for name, value in often.items() if name in known})
    optimizer.begin(None, STEPS)
    for _ in range(STEPS):
        for p in params:
            values = rng.normal(size=p.shape).astype(np.float32)
            p.grad_memory = p.backend.copy_in(np.ascontiguousarray(p.layout.to_memory(values)))
        optimizer.step()
    return optimizer


@pytest.mark.parametrize(
    "method", [name for name, kind in optim.METHODS.items() if issubclass(kind, Masked)]
)
def test_steps_are_those_of_the_oracle(method: str) -> None:
    found, expected = trained(method, "cuda"), trained(method, "reference")
    for p, q in zip(found.params, expected.params, strict=True):
        np.testing.assert_array_equal(p.numpy() != 0, q.numpy() != 0)
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-4, atol=1e-6)
    assert found.take_changes() == expected.take_changes()
    assert found.connectivity() == expected.connectivity() == round(0.3 * 111) / 111
