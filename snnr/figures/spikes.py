"""What the neurons of a run do while they see one test image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr import no_grad
from snnr.checkpoint import Checkpoint
from snnr.errors import SnnrError
from snnr.figures.answers import images_of
from snnr.input import Images
from snnr.nn import IF
from snnr.tensor import Tensor

Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """Spikes ``[T, n]`` (bool) of `n` of a layer's neurons, evenly chosen, out of `total`."""

    name: str
    spikes: Array
    chosen: Array
    total: int
    rate: float


@dataclass(frozen=True)
class Raster:
    """One test image ``[H, W]`` or ``[H, W, 3]`` (uint8 or float), and what it sets off."""

    index: int
    image: Array
    label: int
    answer: int
    layers: tuple[Layer, ...]


def raster(
    found: Checkpoint, index: int = 0, data_dir: str | None = None, most: int = 120
) -> Raster:
    """Run the network on test image `index`.

    Raises
    ------
    SnnrError : the data set is not here, does not fit, or has no such image.
    """
    images, mean, std = images_of(found, data_dir)
    if not 0 <= index < len(images.x_test):
        raise SnnrError(
            f"{images.name} has test images 0 to {len(images.x_test) - 1}, and none {index}"
        )
    batch = Images(images.x_test[index : index + 1], mean, std, device=found.network.device).batch(
        [0]
    )
    neurons = {layer.name for layer in found.network.layers() if isinstance(layer, IF)}
    seen: dict[str, Array] = {}

    def keep(layer: str, out: Tensor) -> None:
        if layer in neurons:
            spikes = out.numpy()
            seen[layer] = spikes.reshape(spikes.shape[0], -1) != 0

    with no_grad(), found.network.observed(keep, spikes=True):
        out = found.network(batch).numpy()
    votes = out.mean(axis=0)[0] if out.ndim == 3 else out[0]
    layers = []
    for layer, spikes in seen.items():
        total = spikes.shape[1]
        chosen = np.unique(np.linspace(0, total - 1, min(total, most)).astype(np.int64))
        layers.append(Layer(layer, spikes[:, chosen], chosen, total, float(spikes.mean())))
    picture = images.x_test[index]
    shown = picture[0] if len(picture) != 3 else np.moveaxis(picture, 0, -1)
    return Raster(index, shown, int(images.y_test[index]), int(votes.argmax()), tuple(layers))
