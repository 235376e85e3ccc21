"""Methods that draw random numbers at every step: on device "cuda" as in the oracle."""

from typing import Any

import numpy as np
import pytest

from snnr import optim
from snnr.tensor import Parameter

CASES: list[tuple[type[optim.Optimizer], dict[str, Any]]] = [
    (optim.DeepR, {"target_connectivity": 0.3, "l1": 0.5, "temperature": 0.3, "rng": 3}),
    (optim.DeepR, {"target_connectivity": 1.0, "l1": 0.5, "temperature": 0.3, "rng": 3}),
    (optim.SoftDeepR, {"l1": 0.5, "temperature": 0.3, "sparsity": 0.6, "rng": 3}),
    (optim.STDS, {"threshold": 1.0, "steps": 6}),
]


@pytest.mark.parametrize(("kind", "own"), CASES)
def test_steps_are_those_of_the_oracle(kind: type[optim.Optimizer], own: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    values = {(5, 9): 0.3 * rng.normal(size=(5, 9)), (3, 2, 3, 2): rng.normal(size=(3, 2, 3, 2))}
    found = []
    for device in ("cuda", "reference"):
        params = [
            Parameter(w.astype(np.float32), f"{i}.weight", device=device)
            for i, w in enumerate(values.values())
        ]
        optimizer = kind(params, lr=0.1, **own)
        for t in range(5):
            for p in params:
                g = np.random.default_rng(t).normal(size=p.shape).astype(np.float32)
                p.grad_memory = p.backend.copy_in(p.layout.to_memory(g).copy())
            optimizer.step()
        found.append(
            {
                "counts": (optimizer.connectivity(), optimizer.take_changes()),
                **{p.name: p.numpy() for p in params},
                **{
                    f"{name} of {p.name}": optimizer.state[p].numpy(name)
                    for p in params
                    for name in optimizer.state[p].kept
                },
            }
        )
    mine, theirs = found
    connectivity, changes = mine.pop("counts")
    assert (connectivity, changes) == theirs.pop("counts")
    assert connectivity == 1 or all(lost > 0 for lost, _ in changes.values())
    for name, array in mine.items():
        np.testing.assert_allclose(array, theirs[name], rtol=1e-5, atol=1e-5, err_msg=name)
