"""Small networks of many kinds, with weights that make their neurons fire."""

import numpy as np

from snnr import functional as F
from snnr import models, nn
from snnr.tensor import Tensor, no_grad

#: specs that together reach every way a step can go; images are 2 x 9 x 8
SPECS = {
    "fc": "fc30-lif-fc5-lif",
    "conv": "6c3-bn-lif-mp2-8c3-bn-lif-mp2-fc20-lif-fc10-lif(v_threshold=0.3)-vote2",
    "strides": "5c3s2p0-bn-if-7c3s2-lif-mp2s1-fc5-lif",
    "average": "6c3-lif-ap2-4c3-bn-lif-ap2-fc5-lif",
    "soft": "fc30-lif(v_reset=none)-fc20-lif(tau=3,decay_input=no)-fc5-if(v_reset=none)",
    "reset": "fc30-lif(v_reset=-0.25,tau=1.5,v_threshold=0.7)-dp-fc5-lif(v_reset=0.1)",
    "bare": "bn-lif(v_threshold=0.4)-mp2-fc5-lif(tau=4,v_threshold=0.3)",
}


def network(spec: str, T: int = 4, seed: int = 0, keep: float = 0.5) -> nn.Sequential:
    """A network of a spec with part of its weights, and BatchNorms that do something."""
    net = models.make(spec, T=T, seed=seed, input_shape=(2, 9, 8), classes=5)
    rng = np.random.default_rng((seed, 1))  # not the one that drew the weights
    for layer in net.layers():
        for short, array in layer.arrays().items():
            values = array.numpy().copy()
            if short == "weight":
                array.assign(values * 6 * (rng.random(values.shape) < keep))
            elif short == "running_var":
                array.assign(rng.uniform(0.5, 2, values.shape).astype(np.float32))
            elif short in ("running_mean", "shift"):
                array.assign(rng.normal(0, 0.3, values.shape).astype(np.float32))
            elif short == "scale":
                array.assign(rng.uniform(-1, 2, values.shape).astype(np.float32))
    return net.eval()


MEAN, STD = (0.4, 0.5), (0.25, 0.3)


def normalised(images: np.ndarray) -> np.ndarray:
    """As training does it."""
    shape = (1, 2, 1, 1)
    scaled = images.astype(np.float32) / np.float32(255)
    mean, std = (np.array(part, np.float32).reshape(shape) for part in (MEAN, STD))
    return np.asarray((scaled - mean) / std)


def dense_spikes(
    net: nn.Sequential, images: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What each layer of the dense network puts out, [T, N, ...] by path, and rates."""
    found = {}

    def keep(name: str, x: Tensor) -> None:
        found[name] = x.numpy().copy()

    with no_grad(), net.observed(keep, spikes=True):
        rates = F.mean_time(net(images)).numpy()
    return found, rates
