"""NeuroBench's metrics of a network that `counts.py` above wrote down.

``python benchmarks/peers/counts.py GIVEN.npz`` prints them as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import TorchModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class LIF(nn.Module):
    """One time step a call: tau 2, threshold 1, hard reset to 0."""

    v: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        h = self.v + (x - self.v) / 2
        spikes = (h >= 1).to(h.dtype)
        self.v = h * (1 - spikes)
        return spikes


class Steps(nn.Module):
    """The network, run T times on the same image."""

    def __init__(self, layers: list[nn.Module], steps: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*layers)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.inner:
            if isinstance(layer, LIF):
                layer.v = 0.0
        return torch.stack([self.inner(x) for _ in range(self.steps)]).mean(0)


def module(told: dict[str, Any], arrays: Any) -> nn.Module:
    """PyTorch's layer of that kind, with its arrays."""
    kind, name = told["kind"], told["name"]
    if kind in ("MaxPool2d", "AvgPool2d"):
        return getattr(nn, kind)(told["kernel_size"], told["stride"])
    if kind in ("LIF", "Flatten"):
        return LIF() if kind == "LIF" else nn.Flatten()
    if kind == "BatchNorm2d":
        made: nn.Module = nn.BatchNorm2d(told["num_features"], told["eps"])
        names = {"scale": "weight", "shift": "bias"}
    else:
        sizes = [told[k] for k in told if k.startswith(("in_", "out_"))]
        options = {k: told[k] for k in ("kernel_size", "stride", "padding") if k in told}
        made = getattr(nn, kind)(*sizes, bias=told["bias"], **options)
        names = {}
    for key in arrays:
        if key.startswith(f"{name}."):
            own = key.removeprefix(f"{name}.")
            getattr(made, names.get(own, own)).data.copy_(torch.from_numpy(arrays[key]))
    return made


def main() -> None:
    """Entry point."""
    arrays = np.load(sys.argv[1])
    about = json.loads(str(arrays["about"]))
    network = Steps([module(told, arrays) for told in about["layers"]], about["T"])
    model = TorchModel(network)
    model.add_activation_module(LIF)
    images = torch.from_numpy(arrays["images"])
    data = TensorDataset(images, torch.zeros(len(images), dtype=torch.int64))
    statics, workloads = [Footprint, ConnectionSparsity], [ActivationSparsity, SynapticOperations]
    benchmark = Benchmark(model, DataLoader(data, about["batch"]), [], [], [statics, workloads])
    with torch.no_grad():
        print(json.dumps(benchmark.run(quiet=True)))


if __name__ == "__main__":
    main()
