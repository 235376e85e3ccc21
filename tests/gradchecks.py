"""What the gradient check runs on, and what it would have to run on: the two are compared.

A case is a function of a list of tensors and the shapes of these. `used` finds out what the cases
call and record; `wanted` lists what there is to be called and recorded.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import nn
from snnr.tensor import Buffer, Function, Tensor
from snnr.tensor.shapes import Convert

LABELS = np.array([1, 7, 0])
MASK = F.dropout_mask((3, 8), 0.5, key=0).numpy()
SMOOTH = {"detach_reset": False, "smooth": True}

#: shape, behind the number of time steps or None
Leaf = tuple[int | None, tuple[int, ...]]
Case = tuple[Callable[[list[Tensor]], Tensor], list[Leaf]]


def flat(*shape: int) -> Leaf:
    return (None, shape)


def sequence(*shape: int) -> Leaf:
    return (2, shape)


def statistics(channels: int) -> F.RunningStatistics:
    generator = np.random.default_rng(1)
    return F.RunningStatistics(generator.standard_normal(channels), 1 + generator.random(channels))


def leaves(shapes: Iterable[Leaf], device: str = "reference") -> list[Tensor]:
    """Random inputs, nowhere near 0, by which some divide."""
    generator = np.random.default_rng(2)
    made = []
    for steps, shape in shapes:
        data = generator.standard_normal(shape if steps is None else (steps, *shape))
        data += np.sign(data) / 4
        made.append(Tensor(data, timesteps=steps, device=device))
    return made


IMAGES = sequence(3, 4, 5, 6)
ROWS = sequence(3, 8)

FUNCTIONS: dict[str, Case] = {
    "add": (lambda t: F.add(*t), [ROWS, ROWS]),
    "multiply": (lambda t: F.multiply(*t), [ROWS, ROWS]),
    "total": (lambda t: F.total(*t), [ROWS]),
    "linear": (lambda t: F.linear(*t), [ROWS, flat(5, 8), flat(5)]),
    "static linear": (lambda t: F.linear(*t), [flat(3, 8), flat(5, 8)]),
    "masked linear": (
        lambda t: F.linear(*t, mask=MASK, factor=2.0), [ROWS, flat(5, 8), flat(5)],
    ),
    "conv2d": (lambda t: F.conv2d(*t, padding=1), [IMAGES, flat(2, 4, 3, 3), flat(2)]),
    "strided conv2d": (
        lambda t: F.conv2d(*t, stride=(2, 3), padding=(1, 0)),
        [flat(3, 4, 5, 6), flat(2, 4, 3, 2)],
    ),
    "grouped conv2d": (
        lambda t: F.conv2d(*t, stride=(2, 1), padding=(1, 0), groups=2),
        [IMAGES, flat(6, 2, 3, 2), flat(6)],
    ),
    "batch norm": (lambda t: F.batch_norm(*t, statistics(4), True), [IMAGES, flat(4), flat(4)]),
    "batch norm of rows": (
        lambda t: F.batch_norm(*t, statistics(8), True), [ROWS, flat(8), flat(8)],
    ),
    "batch norm, evaluating": (
        lambda t: F.batch_norm(*t, statistics(4), False), [IMAGES, flat(4), flat(4)],
    ),
    "max pool": (lambda t: F.max_pool2d(*t, size=3, stride=2), [IMAGES]),
    "average pool": (lambda t: F.avg_pool2d(*t), [IMAGES]),
    "dropout": (lambda t: F.dropout(*t, p=0.5, mask=MASK), [ROWS]),
    "flatten": (lambda t: F.flatten(*t), [IMAGES]),
    "voting": (lambda t: F.voting(*t, group=4), [ROWS]),
    "mean over time": (lambda t: F.mean_time(*t), [ROWS]),
    "squared error": (lambda t: F.mse_loss(*t), [flat(3, 8), flat(3, 8)]),
    "squared error of labels": (lambda t: F.label_mse_loss(*t, labels=LABELS), [flat(3, 8)]),
    "cross entropy": (lambda t: F.cross_entropy(*t, labels=LABELS), [flat(3, 8)]),
    "spiking": (lambda t: F.spiking(*t, F.lif_neuron(**SMOOTH)), [IMAGES]),
    "another dtype": (lambda t: Convert("float64")(*t), [IMAGES]),
}  # fmt: skip

#: parts whose last axes are exchanged in memory, or not
OPERATORS: dict[str, Case] = {
    "a + b": (lambda t: t[0] + t[1], [IMAGES, flat(4, 1, 1)]),
    "2 + a": (lambda t: 2 + t[0], [ROWS]),
    "a - b": (lambda t: t[0] - t[1], [ROWS, flat(3, 1)]),
    "2 - a": (lambda t: 2 - t[0], [ROWS]),
    "a * b": (lambda t: t[0] * t[1], [flat(8), ROWS]),
    "2 * a": (lambda t: 2 * t[0], [ROWS]),
    "a / b": (lambda t: t[0] / t[1], [IMAGES, flat(3, 4, 5, 6)]),
    "2 / a": (lambda t: 2 / t[0], [ROWS]),
    "a ** 3": (lambda t: t[0] ** 3, [ROWS]),
    "-a": (lambda t: -t[0], [ROWS]),
    "a[...]": (lambda t: t[0][1, ..., ::-2, 1:], [IMAGES]),
    "a class": (lambda t: t[0][..., 3], [ROWS]),
    "sum": (lambda t: t[0].sum(axis=(1, -1)), [IMAGES]),
    "mean": (lambda t: t[0].mean(axis=0, keepdims=True), [IMAGES]),
}


def filled(layer: nn.Layer, arrays: Iterable[Tensor]) -> nn.Layer:
    """The layer with these tensors for its parameters, in order; buffers in float64."""
    given = iter(arrays)
    for inside in layer.layers():
        for name, array in inside.arrays().items():
            if isinstance(array, Buffer):
                made = Buffer(array.numpy().astype(np.float64), role=array.role)
                setattr(inside, name, made.to("reference"))
            else:
                setattr(inside, name, next(given))
    assert next(given, None) is None
    return layer


def of_layer(make: Callable[[], nn.Layer], x: Leaf) -> Case:
    """A layer, its input and its parameters."""
    shapes = [flat(*p.shape) for p in make().parameters()]
    return (lambda t: filled(make(), t[1:])(t[0])), [x, *shapes]


def _dropout() -> nn.Dropout:
    layer = nn.Dropout(0.5)
    layer.fixed_mask = MASK
    return layer


def _sequential() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.LIF(**SMOOTH), nn.Flatten(), nn.Linear(36, 2),
        nn.IF(**SMOOTH),
    )  # fmt: skip


LAYERS: dict[str, Case] = {
    "Linear": of_layer(lambda: nn.Linear(8, 5), ROWS),
    "Conv2d": of_layer(lambda: nn.Conv2d(4, 6, (3, 2), 2, (1, 0), groups=2), IMAGES),
    "BatchNorm1d": of_layer(lambda: nn.BatchNorm1d(8), ROWS),
    "BatchNorm2d": of_layer(lambda: nn.BatchNorm2d(4), IMAGES),
    "LIF": of_layer(lambda: nn.LIF(T=3, **SMOOTH), flat(3, 4)),
    "IF": of_layer(lambda: nn.IF(v_reset=None, **SMOOTH), ROWS),
    "MaxPool2d": of_layer(lambda: nn.MaxPool2d(2), IMAGES),
    "AvgPool2d": of_layer(lambda: nn.AvgPool2d(3, 1), IMAGES),
    "Flatten": of_layer(nn.Flatten, IMAGES),
    "Dropout": of_layer(_dropout, ROWS),
    "Voting": of_layer(lambda: nn.Voting(4), ROWS),
    "Sequential": of_layer(_sequential, IMAGES),
}

CASES: dict[str, Case] = {**FUNCTIONS, **OPERATORS, **{f"nn.{k}": v for k, v in LAYERS.items()}}

#: what needs no case of its own, and why
EXEMPT = {
    "functional.norm_spiking": "the numbers of batch_norm and spiking, to which it is held by "
    "tests/test_functional.py; it takes no smooth neurons",
    "functional.dropout_mask": "draws; nothing flows through it",
    "Function NormSpiking": "that of norm_spiking",
    "Tensor.detach": "leaves the tape",
    "Tensor.__matmul__": "always refuses",
}


def _every_function(kind: type[Function]) -> Iterable[type[Function]]:
    for one in kind.__subclasses__():
        yield one
        yield from _every_function(one)


def _gives_a_tensor(function: Any) -> bool:
    return inspect.isfunction(function) and inspect.signature(
        function
    ).return_annotation in (Tensor, "Tensor")  # fmt: skip


def wanted() -> set[str]:
    """Every public function that gives a Tensor, every layer, every method of Tensor that gives
    one, and every Function of the package that can be made."""
    for module in pkgutil.walk_packages(snnr.__path__, "snnr."):
        if not module.name.startswith("snnr.kernels") and "__main__" not in module.name:
            importlib.import_module(module.name)
    nodes = {
        f"Function {one.__name__}"
        for one in _every_function(Function)
        if one.__module__.startswith("snnr.") and not inspect.isabstract(one)
    }
    functions = {f"functional.{n}" for n in F.__all__ if _gives_a_tensor(getattr(F, n))}
    methods = {f"Tensor.{n}" for n, method in vars(Tensor).items() if _gives_a_tensor(method)}
    layers = {f"nn.{n}" for n, kind in nn.LAYERS.items() if kind.__module__.startswith("snnr.")}
    return nodes | functions | methods | layers


def used(cases: Iterable[Case]) -> set[str]:
    """Which of them the cases call, or leave on the tape between their result and their inputs."""
    found: set[str] = set()

    def telling(real: Any, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            found.add(name)
            return real(*arguments, **named)

        return call

    def of_layer(layer: nn.Layer, x: Tensor) -> Tensor:
        found.add(f"nn.{type(layer).__name__}")
        return run(layer, x)

    run = nn.Layer.__call__
    with pytest.MonkeyPatch.context() as patch:
        for owner, names, prefix in (
            (F, F.__all__, "functional"), (Tensor, list(vars(Tensor)), "Tensor"),
        ):  # fmt: skip
            for name in names:
                real = vars(owner)[name]
                if _gives_a_tensor(real):
                    patch.setattr(owner, name, telling(real, f"{prefix}.{name}"))
        patch.setattr(nn.Layer, "__call__", of_layer)
        for f, shapes in cases:
            inputs = leaves(shapes)
            for one in inputs:
                one.requires_grad = True
            waiting = [f(inputs).node]
            while waiting:
                node = waiting.pop()
                if node is not None:
                    found.add(f"Function {type(node).__name__}")
                    waiting += [one.node for one in node.tensors() if one is not None]
    return found


def without_a_case(cases: Iterable[Case]) -> set[str]:
    """What the gradient check does not reach, though it should."""
    there = wanted()
    return there - used(cases) - set(EXEMPT)
