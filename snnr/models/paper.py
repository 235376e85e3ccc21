"""The paper's networks, and the usual convolutional one for 28x28 grey images."""

from snnr.models.build import Shape, build
from snnr.models.parts import Part, conv, dropout, fc, lif, maxpool, norm, vote
from snnr.nn import Sequential


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
    parts = [fc(hidden), lif(), fc(classes), lif()]
    return build(parts, T, seed, device, input_shape, classes)


def _block(channels: int) -> list[Part]:
    return [conv(channels), norm(), lif()]


def _head(hidden: int, classes: int, share: float) -> list[Part]:
    """Flatten - Dropout - Linear hidden - LIF - Linear 10 per class - LIF - voting by 10."""
    return [dropout(share), fc(hidden), lif(), fc(10 * classes), lif(), vote(10)]


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
    parts = [*_block(channels), maxpool(2)] * 2 + _head(hidden, classes, dropout)
    return build(parts, T, seed, device, input_shape, classes)


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
    parts = [*_block(channels) * 3, maxpool(2)] * 2 + _head(hidden, classes, dropout)
    return build(parts, T, seed, device, input_shape, classes)
