"""The structure of the Grad R authors' scripts: SpikingJelly, one time step after another.

As in their networks, the first convolution and its BatchNorm run once (``static_conv``) and
everything after them at every time step; mnist_fc runs as a whole at every step. BatchNorm
therefore normalises each time step by itself, which is another function than BatchNorm over
the whole sequence: on the convolutional works the results differ, and are not compared.
"""

from __future__ import annotations

import torch
from networks import Layer
from record import Record
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn
from torch.nn import functional as F
from workload import Workload

from peers import card
from peers.common import TorchPeer, share
from peers.grad_r import GradRScript


class FixedDropout(nn.Module):
    """Dropout with a given mask (already doubled)."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


class Voting(nn.Module):
    """Mean over groups of ten neurons."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool1d(x.unsqueeze(1), 10, 10).squeeze(1)


def module(layer: Layer, mask: Tensor) -> nn.Module:
    """The PyTorch or SpikingJelly module of a layer."""
    if layer.kind == "conv":
        return nn.Conv2d(layer.inputs, layer.outputs, 3, padding=1, bias=False)
    if layer.kind == "norm":
        return nn.BatchNorm2d(layer.outputs)
    if layer.kind == "linear":
        return nn.Linear(layer.inputs, layer.outputs, bias=False)
    if layer.kind == "lif":
        return neuron.LIFNode(
            tau=2.0, surrogate_function=surrogate.ATan(), detach_reset=True, step_mode="s"
        )
    if layer.kind == "dropout":
        return FixedDropout(mask)
    return {"pool": lambda: nn.MaxPool2d(2), "flatten": nn.Flatten, "vote": Voting}[layer.kind]()


class Authors(TorchPeer):
    """Step by step over T."""

    notes = "step by step in a Python loop, out-of-place optimizer"

    def __init__(self, load: Workload, device: str) -> None:
        self.load_data(load, device, torch.contiguous_format)
        modules = {
            layer.name or f"{layer.kind}{i}": module(layer, self.mask)
            for i, layer in enumerate(load.work.layers)
        }
        self.net = nn.ModuleDict(modules).to(device)
        names = list(modules)
        static = 2 if load.work.layers[0].kind == "conv" else 0
        self.static = nn.Sequential(*(modules[name] for name in names[:static]))
        self.rest = nn.Sequential(*(modules[name] for name in names[static:]))
        with torch.no_grad():
            for name, parameter in self.parameters().items():
                parameter.copy_(torch.from_numpy(load.params[name]))
        self.optimizer = GradRScript(self.net.parameters(), load.work)
        card.forget_peak(device)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by the workload's names."""
        named = {}
        for name, parameter in self.net.named_parameters():
            if name.startswith("norm"):
                name = name.replace("weight", "scale").replace("bias", "shift")
            named[name] = parameter
        return named

    def loss(self, x: Tensor, onehot: Tensor, record: Record | None = None) -> Tensor:
        """As in the scripts: spikes are counted step by step, then the network is reset."""
        hooks = self.watch(record) if record is not None else []
        functional.reset_net(self.net)
        current = self.static(x)
        count = self.rest(current)
        for _ in range(1, self.work.timesteps):
            count = count + self.rest(current)
        for hook in hooks:
            hook.remove()
        return F.mse_loss(count / self.work.timesteps, onehot)

    def watch(self, record: Record) -> list[torch.utils.hooks.RemovableHandle]:
        """Hooks that sum densities over the time steps into ``record``."""

        def hook(name: str, calls: int, spikes: bool) -> object:
            def look(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
                into = record.spikes if spikes else record.inputs
                into[name] = into.get(name, 0.0) + share(out if spikes else args[0]) / calls

            return look

        hooks = []
        for layer in self.work.layers:
            if layer.kind in ("lif", "conv", "linear"):
                found = self.net[layer.name]
                calls = 1 if layer.name == "conv1" else self.work.timesteps
                look = hook(layer.name, calls, layer.kind == "lif")
                hooks.append(found.register_forward_hook(look))
        return hooks


def build(load: Workload, device: str) -> TorchPeer:
    """The contender."""
    return Authors(load, device)
