"""Random networks by spec: the compiled one gives the spikes of the dense one."""

import os
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import snnr
from snnr import nn
from snnr.errors import SnnrError

from .oracle import rounded, sparse_weights

NEURONS = st.sampled_from(
    ["lif", "if", "lif(v_reset=none)", "if(v_reset=none)", "lif(tau=4,v_threshold=0.5)",
     "lif(decay_input=false,v_reset=0.25)"]
)  # fmt: skip
CONVS = st.sampled_from(["3c3", "5c3", "4c2s2p0", "3c1", "4c3s2", "2c5p1"])
POOLS = st.sampled_from(["mp2", "mp3s2", "ap2", "mp2s1"])


@st.composite
def specs(draw: Any) -> str:
    """Blocks of convolution, then linear layers; neurons nearly always."""
    parts: list[str] = []
    for _ in range(draw(st.integers(0, 2))):
        parts.append(draw(CONVS))
        if draw(st.booleans()):
            parts.append("bn")
        early = draw(st.integers(0, 5)) == 0
        if early:
            parts.append(draw(POOLS))
        parts.append(draw(NEURONS))
        if not early and draw(st.booleans()):
            parts.append(draw(POOLS))
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            parts.append("dp")
        parts += [f"fc{draw(st.integers(1, 70))}", draw(NEURONS)]
    vote = draw(st.sampled_from([1, 1, 3]))
    parts += [f"fc{4 * vote}"]
    if draw(st.integers(0, 4)):
        parts.append(draw(NEURONS))
    if vote > 1:
        parts.append(f"vote{vote}")
    return "-".join(parts)


@settings(
    max_examples=int(os.environ.get("SNNR_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    spec=specs(), T=st.integers(1, 9), count=st.integers(1, 40), share=st.floats(0.02, 1),
    channels=st.integers(1, 2), seed=st.integers(0, 1 << 16),
)  # fmt: skip
# what lost its columns lost its rows too
@example(
    spec="3c3-mp2-lif-3c3-lif-fc2-if-fc4", T=1, count=1, share=0.0625, channels=1, seed=0
)  # fmt: skip
def test_a_network_by_spec(
    spec: str, T: int, count: int, share: float, channels: int, seed: int
) -> None:
    from snnr.models import build, parse

    shape = (channels, 8, 7)
    try:
        network = build(parse(spec), T=T, seed=0, input_shape=shape, classes=4).eval()
    except SnnrError:  # a pooling larger than what is left of the image
        return
    if not any(isinstance(layer, nn.IF) for layer in network):
        return
    rng = np.random.default_rng(seed)
    sparse_weights(network, rng, share)
    engine = snnr.compile(network, input_shape=shape)
    x = rounded(rng, (count, *shape))
    told = engine.compare(x)
    # all sums are exact but for BatchNorm's and averages'
    assert told.margin < 1e-5, spec
    if "bn" not in spec and "ap" not in spec:
        assert sum(told.differing.values()) == 0, spec
        with snnr.no_grad():
            wanted = network(snnr.Tensor(x)).numpy()
        np.testing.assert_array_equal(engine.spikes(x), wanted)
        for index in (0, count - 1):
            np.testing.assert_array_equal(engine.spikes(x[index]), wanted[:, index])
        spikes = (rng.random((T, count, *shape)) < 0.3).astype(np.uint8)
        with snnr.no_grad():
            wanted = network(snnr.Tensor(spikes, timesteps=T)).numpy()
        np.testing.assert_array_equal(engine.run(spikes)[0], wanted)
