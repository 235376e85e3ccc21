"""What the PyTorch contenders share: the network, the training step and its record.

Activations are kept as ``[T*N, ...]`` with time first, so that convolution, BatchNorm and
pooling see one large batch. Four-dimensional ones and the convolution weights are
channels-last, which spares oneDNN the reordering of every activation; on a card they are what a
trial of the widest convolution finds faster. The static input goes through the first convolution
(or linear layer) and BatchNorm once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from networks import Layer, Work
from record import Record, sample
from torch import Tensor, nn
from torch.nn import functional as F
from workload import Workload

from peers import card
from peers.grad_r import GradRForeach

Neuron = Callable[[Tensor, int, bool], Tensor]
"""LIF over time: current ``[T*N, ...]`` (or ``[N, ...]`` if static), T, static -> spikes
``[T*N, ...]``."""


class Network(nn.Module):
    """The network of a work, run layer by layer over the whole sequence."""

    def __init__(
        self, load: Workload, neuron: Neuron, device: str, order: torch.memory_format
    ) -> None:
        super().__init__()
        self.work = load.work
        self.neuron = neuron
        for name, value in load.params.items():
            tensor = torch.from_numpy(value).to(device)
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=order)
            self.register_parameter(name.replace(".", "_"), nn.Parameter(tensor.clone()))
        for layer in load.work.layers:
            if layer.kind == "norm":
                like = getattr(self, f"{layer.name}_scale").detach()
                self.register_buffer(f"{layer.name}_mean", torch.zeros_like(like))
                self.register_buffer(f"{layer.name}_var", torch.ones_like(like))

    def weight(self, layer: Layer) -> Tensor:
        """The weight of a conv or linear layer."""
        return getattr(self, f"{layer.name}_weight")

    def norm(self, layer: Layer, x: Tensor) -> Tensor:
        """BatchNorm in training mode."""
        mean, var = getattr(self, f"{layer.name}_mean"), getattr(self, f"{layer.name}_var")
        scale, shift = getattr(self, f"{layer.name}_scale"), getattr(self, f"{layer.name}_shift")
        return F.batch_norm(x, mean, var, scale, shift, training=True)

    def forward(self, x: Tensor, mask: Tensor, record: Record | None = None) -> Tensor:
        """Images ``[N, C, H, W]`` to spikes or votes ``[T, N, 10]``."""
        steps, batch = self.work.timesteps, x.shape[0]
        static = True
        for layer in self.work.layers:
            if record is not None and layer.kind in ("conv", "linear"):
                record.inputs[layer.name] = share(x)
            if layer.kind == "conv":
                x = F.conv2d(x, self.weight(layer), padding=1)
            elif layer.kind == "norm":
                x = self.norm(layer, x)
            elif layer.kind == "linear":
                x = F.linear(x, self.weight(layer))
            elif layer.kind == "lif":
                x = self.neuron(x, steps, static)
                static = False
                if record is not None:
                    record.spikes[layer.name] = share(x)
            elif layer.kind == "pool":
                x = F.max_pool2d(x, 2)
            elif layer.kind == "flatten":
                x = x.flatten(1)
            elif layer.kind == "dropout":
                x = (x.view(steps, batch, -1) * mask).flatten(0, 1)
            elif layer.kind == "vote":
                x = x.view(len(x), 10, -1).mean(2)
        return x.view(steps, batch, -1)


def share(x: Tensor) -> float:
    """Share of entries that are not zero."""
    return torch.count_nonzero(x).item() / x.numel()


class TorchPeer:
    """A PyTorch contender: ``step`` is what is timed, ``probe`` a step that is looked at."""

    notes = "layer by layer over [T*N, ...], static layer once, in-place foreach"

    update: type[GradRForeach] = GradRForeach

    def __init__(self, load: Workload, neuron: Neuron, device: str) -> None:
        order = faster_order(load, device)
        last = order is torch.channels_last
        self.notes = f"{self.notes}, {'channels-last' if last else 'channels first'}"
        self.load_data(load, device, order)
        self.net = Network(load, neuron, device, order)
        self.optimizer = self.update(*roles(self.net), load.work)
        for name, theta in load.theta.items():
            weight = getattr(self.net, name.replace(".", "_"))
            self.optimizer.start_from(weight, torch.from_numpy(theta))
        card.forget_peak(device)

    def load_data(self, load: Workload, device: str, order: torch.memory_format) -> None:
        """Keep the batches as tensors of the device."""
        self.work: Work = load.work
        self.device = device
        self.images = [torch.from_numpy(batch).to(device) for batch in load.images]
        self.images = [x.contiguous(memory_format=order) for x in self.images]
        self.onehot = [torch.from_numpy(batch).to(device) for batch in load.onehot]
        # inverted dropout with p = 0.5: kept entries are doubled
        self.mask = torch.from_numpy(load.mask).to(device).to(self.images[0].dtype) * 2

    def loss(self, x: Tensor, onehot: Tensor, record: Record | None = None) -> Tensor:
        """Mean squared error between firing rate and one-hot label."""
        rate = self.net(x, self.mask, record).mean(0)
        return F.mse_loss(rate, onehot)

    def train(self, index: int, record: Record | None = None) -> Tensor:
        """Forward and backward pass on a batch; the loss."""
        self.optimizer.zero_grad()
        index %= len(self.images)
        loss = self.loss(self.images[index], self.onehot[index], record)
        loss.backward()
        return loss

    def step(self, index: int) -> None:
        """One training step."""
        self.last = self.train(index).detach()
        self.optimizer.step()

    def wait(self) -> float:
        """The loss of the last step, when everything is done."""
        card.synchronise(self.device)
        return self.last.item()

    def memory(self) -> dict[str, int]:
        """See :func:`card.memory`."""
        return card.memory()

    def parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by the workload's names."""
        return {name.replace("_", "."): p for name, p in self.net.named_parameters()}

    def probe(self, index: int) -> Record:
        """One training step with its record (see :class:`record.Record`)."""
        record = Record()
        record.loss = self.train(index, record).item()
        for name, parameter in self.parameters().items():
            assert parameter.grad is not None
            record.grad_norms[name] = parameter.grad.norm().item()
            record.grads[name] = sample(parameter.grad.contiguous().cpu().numpy())
        self.optimizer.step()
        for name, parameter in self.parameters().items():
            record.weights[name] = sample(parameter.detach().contiguous().cpu().numpy())
        weights = [p for p in self.parameters().values() if p.ndim > 1]
        nonzero = sum(torch.count_nonzero(w).item() for w in weights)
        record.connectivity = nonzero / sum(w.numel() for w in weights)
        return record


def faster_order(load: Workload, device: str) -> torch.memory_format:
    """How images lie in memory: channels-last on a CPU; on a card what takes less time for the
    work's widest convolution and its BatchNorm, forward and backward."""
    convolutions = [layer for layer in load.work.layers if layer.kind == "conv"]
    if device != "cuda" or not convolutions:
        return torch.channels_last
    widest = max(convolutions, key=lambda layer: layer.inputs * layer.outputs)
    _, height, width = load.work.image
    shape = (load.work.timesteps * load.work.batch, widest.inputs, height, width)
    dtype = torch.from_numpy(load.params[f"{widest.name}.weight"]).dtype
    taken = {}
    for order in (torch.contiguous_format, torch.channels_last):
        x = torch.rand(shape, dtype=dtype, device=device).contiguous(memory_format=order)
        weight = torch.rand((widest.outputs, widest.inputs, 3, 3), dtype=dtype, device=device)
        weight = weight.contiguous(memory_format=order).requires_grad_()
        x.requires_grad_()

        def once(x: Tensor = x, weight: Tensor = weight) -> None:
            F.batch_norm(F.conv2d(x, weight, padding=1), None, None, training=True).sum().backward()

        for _ in range(2):
            once()
        card.synchronise(device)
        start = time.perf_counter()
        for _ in range(3):
            once()
        card.synchronise(device)
        taken[order] = time.perf_counter() - start
    torch.cuda.empty_cache()
    return min(taken, key=lambda order: taken[order])


def roles(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Prunable weights, and the rest (BatchNorm scale and shift)."""
    named = list(net.named_parameters())
    weights = [p for name, p in named if p.ndim > 1]
    return weights, [p for name, p in named if p.ndim == 1]


def spans(x: Tensor, steps: int, static: bool) -> tuple[Tensor, ...]:
    """The current at each time step: chunks of ``x``, or ``x`` itself again and again."""
    return (x,) * steps if static else x.chunk(steps)
