"""The networks and settings every contender is measured on, as plain data.

Nothing here imports a framework: each contender builds its own network from these tuples.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One layer: ``kind`` is conv, norm, lif, pool, flatten, dropout, linear or vote."""

    kind: str
    name: str = ""
    inputs: int = 0
    outputs: int = 0


@dataclass(frozen=True)
class Work:
    """A training step to measure: network, time steps, batch and optimizer settings.

    ``batches`` is how many different batches the steps cycle through. Learning rate and
    prior are those of the Grad R paper's CIFAR-10 runs.
    """

    name: str
    image: tuple[int, int, int]
    timesteps: int
    batch: int
    batches: int
    layers: tuple[Layer, ...]
    lr: float = 1e-4
    prior: float = 1e-3
    sparsity: float = 0.95

    @property
    def weights(self) -> tuple[Layer, ...]:
        """The layers with a prunable weight, in order."""
        return tuple(layer for layer in self.layers if layer.kind in ("conv", "linear"))

    def features(self) -> int:
        """Inputs of the first linear layer after dropout, 0 without dropout."""
        kinds = [layer.kind for layer in self.layers]
        if "dropout" not in kinds:
            return 0
        rest = self.layers[kinds.index("dropout") :]
        return next(layer.inputs for layer in rest if layer.kind == "linear")


def _conv_block(index: int, inputs: int, outputs: int) -> list[Layer]:
    return [
        Layer("conv", f"conv{index}", inputs, outputs),
        Layer("norm", f"norm{index}", outputs, outputs),
        Layer("lif", f"lif{index}"),
    ]


def _head(features: int, first_lif: int) -> list[Layer]:
    return [
        Layer("flatten"),
        Layer("dropout"),
        Layer("linear", "fc1", features, 2048),
        Layer("lif", f"lif{first_lif}"),
        Layer("linear", "fc2", 2048, 100),
        Layer("lif", f"lif{first_lif + 1}"),
        Layer("vote"),
    ]


def _mnist_fc() -> tuple[Layer, ...]:
    return (
        Layer("flatten"),
        Layer("linear", "fc1", 784, 800),
        Layer("lif", "lif1"),
        Layer("linear", "fc2", 800, 10),
        Layer("lif", "lif2"),
    )


def _csnn() -> tuple[Layer, ...]:
    blocks = [
        *_conv_block(1, 1, 128),
        Layer("pool"),
        *_conv_block(2, 128, 128),
        Layer("pool"),
    ]
    return (*blocks, *_head(6272, 3))


def _cifar10_conv() -> tuple[Layer, ...]:
    blocks: list[Layer] = []
    for index in range(1, 7):
        blocks += _conv_block(index, 3 if index == 1 else 256, 256)
        if index % 3 == 0:
            blocks.append(Layer("pool"))
    return (*blocks, *_head(16384, 7))


WORKS: dict[str, Work] = {
    work.name: work
    for work in (
        # a smaller step, or the many short steps would move the firing rates
        Work("mnist_fc", (1, 28, 28), 8, 128, 8, _mnist_fc(), lr=2e-5),
        Work("csnn", (1, 28, 28), 4, 32, 4, _csnn()),
        Work("cifar10_conv", (3, 32, 32), 8, 4, 4, _cifar10_conv()),
    )
}
