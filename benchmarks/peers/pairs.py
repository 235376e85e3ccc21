"""One training of 784-800-10 in PyTorch from given weights and orders, for `pairs.py` above.

``python benchmarks/peers/pairs.py GIVEN.npz`` prints accuracy and connectivity as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402
from networks import WORKS  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from peers.eager import lif  # noqa: E402
from peers.grad_r import GradRForeach  # noqa: E402

STEPS, BATCH = 8, 128


def rates(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Mean over time of the spikes of both layers."""
    hidden = lif(F.linear(x, first), STEPS, True)
    out = lif(F.linear(hidden, second), STEPS, False)
    return out.view(STEPS, len(x), -1).mean(0)


def main() -> None:
    """Entry point."""
    given = np.load(sys.argv[1])
    mean, std = (float(np.ravel(given[name])[0]) for name in ("mean", "std"))
    images, labels = {}, {}
    for part in ("train", "test"):
        flat = given[f"x_{part}"].reshape(len(given[f"x_{part}"]), -1)
        images[part] = torch.from_numpy((flat.astype(np.float32) / 255 - mean) / std)
        labels[part] = torch.from_numpy(given[f"y_{part}"].astype(np.int64))
    weights = [nn.Parameter(torch.from_numpy(given[name])) for name in ("first", "second")]
    work = dataclasses.replace(WORKS["mnist_fc"], lr=1e-3, prior=float(given["prior"]))
    optimizer = GradRForeach(weights, [], work)
    for order in given["orders"]:
        index = torch.from_numpy(order.astype(np.int64))
        for start in range(0, len(index) - BATCH + 1, BATCH):
            chosen = index[start : start + BATCH]
            target = F.one_hot(labels["train"][chosen], 10).float()
            loss = F.mse_loss(rates(images["train"][chosen], *weights), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        found = [rates(x, *weights).argmax(1) for x in images["test"].split(1000)]
        correct = int((torch.cat(found) == labels["test"]).sum())
    left, size = (sum(f(w) for w in weights) for f in (torch.count_nonzero, torch.numel))
    print(json.dumps({"accuracy": correct / len(labels["test"]), "connectivity": int(left) / size}))


if __name__ == "__main__":
    main()
