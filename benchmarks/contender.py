"""snnr as a contender, through its public interface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from networks import Layer, Work
from record import Record, sample
from workload import Array, Workload

import snnr
from snnr import kernels
from snnr.training.losses import loss_function
from snnr.training.step import Step


def share(x: Array) -> float:
    """Share of entries that are not zero."""
    return float(np.count_nonzero(x)) / x.size


def optimizer(method: str, net: snnr.nn.Layer, work: Work) -> snnr.optim.Optimizer:
    """The method, on the connections that there are; those that rewire do so in no step here."""
    params = net.parameters()
    if method == "grad-r":
        return snnr.optim.GradR(params, lr=work.lr, prior=work.prior, sparsity=work.sparsity)
    if method == "dense":
        return snnr.optim.Adam(params, lr=work.lr)
    kind = snnr.optim.METHODS[method]
    return kind.restored(params, {"lr": work.lr, "every": 10**9})


def nothing() -> None:
    """Nobody looks between the backward pass and the update."""


class Snnr:
    """The network from ``snnr.models``, Grad R (or another method) from ``snnr.optim``."""

    notes = "snnr.models, snnr.optim; dropout with a fixed mask"

    def __init__(self, load: Workload, device: str, method: str = "grad-r") -> None:
        self.work = load.work
        self.load = load
        self.backend = kernels.backend(device)
        self.net = snnr.models.MODELS[load.work.name](T=load.work.timesteps).to(device)
        self.batches = [snnr.Tensor(images, device=device) for images in load.images]
        # both lists hold the same layers in the same order
        self.layers: list[tuple[Layer, snnr.nn.Layer]] = list(
            zip(load.work.layers, self.net, strict=True)
        )
        self.params: dict[str, snnr.Parameter] = {}
        for layer, found in self.layers:
            for short, parameter in found.own_parameters().items():
                self.params[f"{layer.name}.{short}"] = parameter
            if isinstance(found, snnr.nn.Dropout):
                found.fixed_mask = snnr.Tensor(load.mask, device=device)
        for name, value in load.params.items():
            self.params[name].assign(value)
        self.optimizer = optimizer(method, self.net, load.work)
        for name, theta in load.theta.items() if method == "grad-r" else ():
            parameter = self.params[name]
            state = self.optimizer.state[parameter]
            state.assign("theta", theta)
            state.assign("sign", load.sign[name])

    def train(self, index: int) -> snnr.Tensor:
        """Forward and backward pass on a batch; the loss."""
        self.optimizer.zero_grad()
        index %= len(self.batches)
        rate = snnr.functional.mean_time(self.net(self.batches[index]))
        loss = snnr.functional.mse_loss(rate, self.load.onehot[index])
        loss.backward()
        return loss

    def step(self, index: int, seam: Callable[[], None] | None = None) -> None:
        """One training step; ``seam`` is called between backward pass and update."""
        self.last = self.train(index)
        if seam is not None:
            seam()
        self.optimizer.step()

    def wait(self) -> float:
        """The loss of the last step."""
        return self.last.item()

    def memory(self) -> dict[str, int]:
        """A host backend's memory is the process's."""
        return {}

    def probe(self, index: int) -> Record:
        """One training step with its record.

        Densities come from a forward pass beside it, so that the step itself is the very one
        that is timed, with all layers fused.
        """
        record = Record()
        self.watch(record, self.load.images[index % len(self.load.images)])
        self.step(index, nothing)
        record.loss = self.wait()
        for name, parameter in self.params.items():
            gradient = parameter.grad_numpy()
            assert gradient is not None
            record.grad_norms[name] = float(np.linalg.norm(gradient.astype(np.float64)))
            record.grads[name] = sample(gradient)
            record.weights[name] = sample(parameter.numpy())
        weights = [p.numpy() for p in self.params.values() if p.role == "weight"]
        record.connectivity = sum(map(np.count_nonzero, weights)) / sum(w.size for w in weights)
        return record

    def watch(self, record: Record, images: Array) -> None:
        """Fill the densities of ``record`` from a forward pass with an observer."""
        order = {found.name: layer for layer, found in self.layers}
        names = list(order)
        before = images

        def observe(name: str, out: snnr.Tensor) -> None:
            nonlocal before
            layer = order.get(name)
            if layer is None:
                before = out.numpy()
                return
            if layer.kind in ("conv", "linear"):
                # dropout may be fused into the linear layer behind it
                dropped = order[names[max(0, names.index(name) - 1)]].kind == "dropout"
                masked = before * self.load.mask if dropped else before
                record.inputs[layer.name] = share(masked)
            elif layer.kind == "lif":
                record.spikes[layer.name] = share(out.numpy())
            before = out.numpy()

        batch = snnr.Tensor(images, device=self.net.device)
        with snnr.no_grad(), self.net.observed(observe, spikes=True):
            self.net(batch)


class OnCard(Snnr):
    """The same through the step that `snnr.Trainer` takes, which a device records and replays. It
    also looks whether everything is finite, and sums up loss and right answers."""

    notes = "snnr.models, snnr.optim.GradR, snnr.training's step; dropout with a fixed mask"

    def __init__(self, load: Workload, device: str, method: str = "grad-r") -> None:
        super().__init__(load, device, method)
        from snnr.kernels.cuda.blas import blas

        self.notes += "; products by cuBLAS" if blas() else "; products of its own, no cuBLAS"
        self.taken = Step(self.net, self.optimizer, loss_function("mse"), device)
        self.labels = load.onehot.argmax(axis=2)
        # a recorded step reads its batch where the first one lay
        self.batch = snnr.Tensor(load.images[0], device=device)
        self.seen = 0.0
        self.since = 0

    def step(self, index: int, seam: Callable[[], None] | None = None) -> None:
        """One training step; with a ``seam`` it is not recorded."""
        index %= len(self.batches)
        self.backend.copy(self.batches[index].memory, self.batch.memory)
        if not self.taken.take(self.batch, self.labels[index], seam):
            raise FloatingPointError(f"step {index}: loss or gradients are not finite")
        self.since += 1

    def wait(self) -> float:
        """The mean loss of the steps since this was last asked."""
        total = self.taken.tally.loss
        mean = (total - self.seen) / max(self.since, 1)
        self.seen, self.since = total, 0
        return mean

    def memory(self) -> dict[str, int]:
        """What the pool took from the driver; it gives nothing back by itself."""
        from snnr.kernels.cuda.memory import pool

        return {"peak": pool().held, "reserved": pool().held}


def build(load: Workload, device: str, method: str = "grad-r") -> Snnr:
    """The contender."""
    kind = Snnr if kernels.backend(device).host else OnCard
    return kind(load, device, method)
