"""snnr as a contender, through its public interface."""

from __future__ import annotations

import numpy as np
from networks import Layer
from record import Record, sample
from workload import Array, Workload

import snnr


def share(x: Array) -> float:
    """Share of entries that are not zero."""
    return float(np.count_nonzero(x)) / x.size


class Snnr:
    """The network from ``snnr.models``, Grad R from ``snnr.optim``."""

    notes = "snnr.models, snnr.optim.GradR; dropout with a fixed mask"

    def __init__(self, load: Workload) -> None:
        self.work = load.work
        self.load = load
        self.net = snnr.models.MODELS[load.work.name](T=load.work.timesteps)
        # both lists hold the same layers in the same order
        self.layers: list[tuple[Layer, snnr.nn.Layer]] = list(
            zip(load.work.layers, self.net, strict=True)
        )
        self.params: dict[str, snnr.Parameter] = {}
        for layer, found in self.layers:
            for short, parameter in found.own_parameters().items():
                self.params[f"{layer.name}.{short}"] = parameter
            if isinstance(found, snnr.nn.Dropout):
                found.fixed_mask = load.mask
        for name, value in load.params.items():
            self.params[name].assign(value)
        work = load.work
        self.optimizer = snnr.optim.GradR(
            self.net.parameters(), lr=work.lr, prior=work.prior, sparsity=work.sparsity
        )
        for name, theta in load.theta.items():
            parameter = self.params[name]
            state = self.optimizer.state[parameter]
            state.assign("theta", theta)
            state.assign("sign", load.sign[name])

    def train(self, index: int) -> snnr.Tensor:
        """Forward and backward pass on a batch; the loss."""
        self.optimizer.zero_grad()
        index %= len(self.load.images)
        rate = snnr.functional.mean_time(self.net(self.load.images[index]))
        loss = snnr.functional.mse_loss(rate, self.load.onehot[index])
        loss.backward()
        return loss

    def step(self, index: int) -> float:
        """One training step; the loss."""
        loss = self.train(index)
        self.optimizer.step()
        return loss.item()

    def probe(self, index: int) -> Record:
        """One training step with its record.

        Densities come from a forward pass beside it, so that the step itself is the very one
        that is timed, with all layers fused.
        """
        record = Record()
        self.watch(record, self.load.images[index % len(self.load.images)])
        record.loss = self.train(index).item()
        for name, parameter in self.params.items():
            assert parameter.grad is not None
            record.grad_norms[name] = float(np.linalg.norm(parameter.grad.astype(np.float64)))
            record.grads[name] = sample(parameter.grad)
        self.optimizer.step()
        for name, parameter in self.params.items():
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

        with snnr.no_grad(), self.net.observed(observe, spikes=True):
            self.net(images)


def build(load: Workload) -> Snnr:
    """The contender."""
    return Snnr(load)
