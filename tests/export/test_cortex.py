"""On a Cortex-M4, in QEMU: the same spikes; and the bytes that were told."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from snnr import models, nn
from snnr.export import write_c
from snnr.export.c.cross import available

from .networks import MEAN, SPECS, STD, network

MAKEFILE = Path(__file__).resolve().parents[2] / "examples" / "cortex_m" / "Makefile"

pytestmark = pytest.mark.skipif(
    not available() or shutil.which("make") is None, reason="arm-none-eabi-gcc and make"
)
emulated = pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm")


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "-f", str(MAKEFILE), f"HEADER={folder / 'network.h'}", f"OUT={folder}"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False,
                          timeout=120)  # fmt: skip


def said(done: "subprocess.CompletedProcess[str]") -> str:
    """QEMU writes what the program says to either."""
    return done.stdout + done.stderr


@emulated
@pytest.mark.parametrize("quantize", [None, "int8"])
@pytest.mark.parametrize("spec", SPECS)
def test_every_spike(spec: str, quantize: str | None, tmp_path: Path, pixels: np.ndarray) -> None:
    """The golden vectors hold a digest of all spikes, made by the emulation in NumPy."""
    write_c(network(SPECS[spec]), tmp_path / "network.h", quantize=quantize, golden=20,
            images=pixels, input_shape=(2, 9, 8), mean=MEAN, std=STD)  # fmt: skip
    done = make(tmp_path, "run", "CFLAGS=-Os -Werror")
    assert done.returncode == 0, done.stderr
    assert "\n0 of 20 golden vectors differ\n" in said(done)


@emulated
def test_a_wrong_spike_is_told(tmp_path: Path, pixels: np.ndarray) -> None:
    found = write_c(network(SPECS["fc"]), tmp_path / "network.h", quantize="int8", images=pixels,
                    input_shape=(2, 9, 8), mean=MEAN, std=STD)  # fmt: skip
    text = found.header.text
    digest = text.index("golden_spikes[2] = {") + len("golden_spikes[2] = {\n    ")
    found.path.write_text(f"{text[:digest]}1{text[digest + 1 :]}")
    if text[digest] == "1":
        found.path.write_text(f"{text[:digest]}2{text[digest + 1 :]}")
    done = make(tmp_path, "run")
    assert done.returncode != 0
    assert "1 of 2 golden vectors differ" in said(done)


@pytest.mark.parametrize("quantize", [None, "int8", "int16"])
def test_bytes_are_the_linkers(quantize: str | None, tmp_path: Path) -> None:
    for spec in SPECS:
        found = write_c(network(SPECS[spec]), tmp_path / "network.h", quantize=quantize,
                        input_shape=(2, 9, 8), mean=MEAN, std=STD)  # fmt: skip
        sizes = found.cortex_m4()
        assert sizes is not None
        # tables of one entry become part of the code
        assert found.flash - 16 <= sizes.tables <= found.flash + 16
        assert found.ram <= sizes.buffers <= found.ram + 16
        assert sizes.code < 4000


def at_one_percent(seed: int = 0) -> nn.Sequential:
    """784-800-10 with 1 % of its weights, on 200 hidden neurons as pruning leaves them: more than
    a trained network keeps."""
    net = models.mnist_fc(T=8, seed=seed)
    rng = np.random.default_rng(seed + 1)
    for layer, keep in (("1_linear", 0.04), ("3_linear", 0.08)):
        for found in net.layers():
            if found.name == layer:
                weight = found.arrays()["weight"].numpy().copy()
                mask = rng.random(weight.shape) < keep
                if layer == "1_linear":
                    mask[200:] = False
                else:
                    mask[:, 200:] = False
                    mask[np.arange(200) % 10, np.arange(200)] = True  # each is read
                found.arrays()["weight"].assign(weight * 30 * mask)
    return net.eval()


def test_one_percent_fits(tmp_path: Path) -> None:
    """24 kB of flash and 8 kB of RAM, with start-up code, two golden images and a kB of stack: the
    linker refuses more."""
    net = at_one_percent()
    found = write_c(net, tmp_path / "network.h", quantize="int8", mean=[0.1307], std=[0.3081],
                    input_shape=(1, 28, 28))  # fmt: skip
    connections = found.program.steps[0].weights.size  # type: ignore[union-attr]
    assert connections > 0.008 * 784 * 800
    done = make(tmp_path, "FLASH=24576", "RAM=8192")
    assert done.returncode == 0, done.stderr
    done = make(tmp_path, "FLASH=8192", "RAM=8192", "--always-make")
    assert done.returncode != 0
    assert "FLASH" in done.stderr
