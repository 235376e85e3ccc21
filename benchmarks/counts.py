"""Operations, sparsity and footprint beside NeuroBench's own code, on the same networks and inputs.

    python benchmarks/counts.py --peer-python peers/bin/python [--json FILE]

The other environment needs neurobench 2.3 and snntorch beside PyTorch. The networks are pruned at
random and fire; counts are compared to the last digit, activation sparsity, which NeuroBench
averages over batches, to 14. The JSON file is the fixture
`tests/fixtures/neurobench.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import snnr
from snnr import metrics
from snnr.activity import ActivityCounter

HERE = Path(__file__).resolve().parent
BATCH, BATCHES = 6, 3
#: name -> (network, time steps, share of weights that are left)
CASES = {
    "mnist_fc": ("mnist_fc", 4, 0.05),
    "convolutions": ("4c3-bn-lif-mp2-6c5-bn-lif-fc30-lif-fc10-lif", 3, 0.3),
    "average pooling": ("4c3-bn-lif-ap2-6c3-lif-ap2-fc10-lif", 5, 0.5),
}


def made(case: str) -> tuple[Any, np.ndarray[Any, Any]]:
    """Network and normalised images of a case; the same at every call."""
    spec, steps, left = CASES[case]
    generator = np.random.default_rng(sorted(CASES).index(case))
    network = snnr.models.make(spec, steps, 0, "cpu", (1, 28, 28), 10)
    for p in network.parameters():
        if p.role == "weight":
            kept = generator.random(p.shape) < left
            p.assign(np.where(kept, 3 / left**0.5 * p.numpy(), 0).astype(np.float32))
        elif p.role == "shift":
            p.assign(generator.uniform(0.2, 1.2, p.shape).astype(np.float32))
    images = generator.uniform(-1, 2, (BATCH * BATCHES, 1, 28, 28)).astype(np.float32)
    images[generator.random(images.shape) < 0.6] = 0
    return network.eval(), images


def ours(case: str) -> dict[str, Any]:
    """What snnr counts."""
    network, images = made(case)
    counter = ActivityCounter(network)
    with snnr.no_grad(), counter.watching():
        for start in range(0, len(images), BATCH):
            network(snnr.Tensor(images[start : start + BATCH]))
    found = counter.result()
    return {
        "Footprint": metrics.footprint(network),
        "ConnectionSparsity": round(1 - metrics.connectivity(network), 4),
        "ActivationSparsity": round(found.activation_sparsity, 14),
        "SynapticOperations": {
            "Effective_MACs": sum(found.effective_macs.values()),
            "Effective_ACs": sum(found.effective_acs.values()),
            "Dense": sum(found.dense_operations.values()),
        },
    }


def theirs(case: str, python: str) -> dict[str, Any]:
    """What NeuroBench counts."""
    network, images = made(case)
    layers, arrays = [], {"images": images}
    for layer in network.layers():
        if layer is network:
            continue
        layers.append({"kind": type(layer).__name__, "name": layer.name, **layer.settings()})
        arrays |= {f"{layer.name}.{key}": one.numpy() for key, one in layer.arrays().items()}
    about = {"layers": layers, "T": network.T, "batch": BATCH}
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        np.savez(given, about=json.dumps(about), **arrays)
        done = subprocess.run(
            [python, str(HERE / "peers" / "counts.py"), str(given)],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["ActivationSparsity"] = round(found["ActivationSparsity"], 14)
    return found


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", required=True, help="interpreter that has NeuroBench")
    parser.add_argument("--json", type=Path, help="what NeuroBench counted")
    args = parser.parse_args()
    found = {case: theirs(case, args.peer_python) for case in CASES}
    wrong = 0
    for case, counted in found.items():
        mine = ours(case)
        wrong += mine != counted
        print(case, "equal" if mine == counted else f"NOT EQUAL\n  snnr       {mine}")
        print("  NeuroBench", counted)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
