"""Eager in float64: free of rounding, in practice; the measure of every contender."""

from __future__ import annotations

import dataclasses

import numpy as np
from workload import Workload

from peers import eager
from peers.common import TorchPeer


def build(load: Workload, device: str) -> TorchPeer:
    """Not a contender: never timed."""
    double = dataclasses.replace(
        load,
        images=load.images.astype(np.float64),
        onehot=load.onehot.astype(np.float64),
        params={name: value.astype(np.float64) for name, value in load.params.items()},
    )
    return TorchPeer(double, eager.lif, device)
