"""Many steps and many predictions in one process, for `test_flat.py`:

    python endless.py STEPS PREDICTIONS

prints as JSON what the process holds after a tenth of each and at the end: bytes and open files.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.tensor import Tensor


def held() -> dict[str, int]:
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"bytes": resident, "files": len(os.listdir("/proc/self/fd"))}


def main() -> None:
    steps, predictions = map(int, sys.argv[1:])
    rng = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=rng), nn.BatchNorm2d(4), nn.LIF(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.2, rng=1), nn.Linear(64, 4, rng=rng), nn.LIF(), T=2,
    )  # fmt: skip
    optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.05)
    images = rng.normal(size=(4, 1, 8, 8)).astype(np.float32)
    told: dict[str, Any] = {"steps": [], "predictions": []}
    for step in range(1, steps + 1):
        loss = F.cross_entropy(F.mean_time(net(Tensor(images))), np.arange(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (steps // 10, steps):
            told["steps"].append(held())
    net.eval()
    for done in range(1, predictions + 1):
        with snnr.no_grad():
            net(images[:1])
        if done in (predictions // 10, predictions):
            told["predictions"].append(held())
    print(json.dumps(told))


if __name__ == "__main__":
    main()
