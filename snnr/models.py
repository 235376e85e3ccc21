"""The paper's networks by name."""

from collections.abc import Callable

import numpy as np

from snnr.errors import ConfigError
from snnr.nn import (
    LIF,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Sequential,
    Voting,
)

Shape = tuple[int, int, int]


def mnist_fc(
    T: int = 8,
    seed: int = 0,
    device: str = "cpu",
    input_shape: Shape = (1, 28, 28),
    classes: int = 10,
    hidden: int = 800,
) -> Sequential:
    """The paper's "2 FC": Flatten - Linear 800 - LIF - Linear 10 - LIF, no biases.

    Static ``[N, C, H, W]`` -> spikes ``[T, N, classes]``; 635,200 weights on MNIST. The paper's
    neurons: tau=2, threshold 1, reset to 0, ATan(2), detached reset.
    """
    rng = np.random.default_rng(seed)
    return Sequential(
        Flatten(),
        Linear(int(np.prod(input_shape)), hidden, bias=False, rng=rng),
        LIF(),
        Linear(hidden, classes, bias=False, rng=rng),
        LIF(),
        T=T,
        device=device,
    )


def _conv_block(inputs: int, outputs: int, rng: np.random.Generator) -> list[Layer]:
    return [
        Conv2d(inputs, outputs, 3, padding=1, bias=False, rng=rng),
        BatchNorm2d(outputs),
        LIF(),
    ]


def _head(
    inputs: int, hidden: int, classes: int, dropout: float, rng: np.random.Generator, seed: int
) -> list[Layer]:
    """Flatten - Dropout - Linear hidden - LIF - Linear 10 per class - LIF - voting by 10."""
    return [
        Flatten(),
        Dropout(dropout, rng=np.random.default_rng((seed, 1))),
        Linear(inputs, hidden, bias=False, rng=rng),
        LIF(),
        Linear(hidden, 10 * classes, bias=False, rng=rng),
        LIF(),
        Voting(10),
    ]


def csnn(
    T: int = 4,
    seed: int = 0,
    device: str = "cpu",
    input_shape: Shape = (1, 28, 28),
    classes: int = 10,
    channels: int = 128,
    dropout: float = 0.5,
    hidden: int = 2048,
) -> Sequential:
    """Convolutional SNN for 28x28 grey images: [Conv 3x3 128 - BatchNorm - LIF - MaxPool 2] x2,
    then Flatten - Dropout - Linear 2048 - LIF - Linear 100 - LIF - voting by 10.

    Static ``[N, C, H, W]`` -> votes ``[T, N, classes]``; 13,198,464 weights on 28x28 grey images.
    """
    rng = np.random.default_rng(seed)
    depth, height, width = input_shape
    return Sequential(
        *_conv_block(depth, channels, rng),
        MaxPool2d(2),
        *_conv_block(channels, channels, rng),
        MaxPool2d(2),
        *_head(channels * (height // 4) * (width // 4), hidden, classes, dropout, rng, seed),
        T=T,
        device=device,
    )


def cifar10_conv(
    T: int = 8,
    seed: int = 0,
    device: str = "cpu",
    input_shape: Shape = (3, 32, 32),
    classes: int = 10,
    channels: int = 256,
    dropout: float = 0.5,
    hidden: int = 2048,
) -> Sequential:
    """The paper's "6 Conv 2 FC": [Conv 3x3 256 - BatchNorm - LIF] x3 - MaxPool 2, twice, then
    Flatten - Dropout - Linear 2048 - LIF - Linear 100 - LIF - voting by 10.

    Static ``[N, C, H, W]`` -> votes ``[T, N, classes]``; 36,715,264 prunable weights on CIFAR-10.
    """
    rng = np.random.default_rng(seed)
    depth, height, width = input_shape
    blocks: list[Layer] = []
    for group in range(2):
        for position in range(3):
            first = group == 0 and position == 0
            blocks += _conv_block(depth if first else channels, channels, rng)
        blocks.append(MaxPool2d(2))
    return Sequential(
        *blocks,
        *_head(channels * (height // 4) * (width // 4), hidden, classes, dropout, rng, seed),
        T=T,
        device=device,
    )


#: network name -> function that makes it
MODELS: dict[str, Callable[..., Sequential]] = {
    "mnist_fc": mnist_fc,
    "csnn": csnn,
    "cifar10_conv": cifar10_conv,
}


def make(
    name: str,
    T: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    input_shape: Shape | None = None,
    classes: int = 10,
) -> Sequential:
    """Make a network by name; None keeps the paper's T and the data set's shape.

    Raises
    ------
    ConfigError : there is no network of that name.
    """
    if name not in MODELS:
        raise ConfigError(f"unknown network {name!r}: expected one of {', '.join(MODELS)}")
    if T is not None and T < 1:
        raise ConfigError(f"timesteps (={T}) must be at least 1")
    settings: dict[str, object] = {"seed": seed, "device": device, "classes": classes}
    if T is not None:
        settings["T"] = T
    if input_shape is not None:
        settings["input_shape"] = input_shape
    return MODELS[name](**settings)
