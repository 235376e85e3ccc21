"""What is told before a training, and at its end."""

import re
from pathlib import Path

import pytest
from snnr.data import Dataset

from snnr import nn, optim
from snnr.training import Callback, Trainer
from snnr.training.advice import MEASURED, cautions, missed, outlook, short
from snnr.training.schedule import schedule


def net() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4, rng=0), nn.LIF(), T=2)


def grad_r(**settings: float) -> optim.GradR:
    return optim.GradR(net().parameters(), **settings)


def test_the_curve_is_the_one_of_the_readme() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    rows = re.findall(r"^\| (\de-\d) \| \d \| .*\| ([\d.]+) % \|$", text, re.MULTILINE)
    assert {float(prior): round(float(share) / 100, 6) for prior, share in rows} == MEASURED


@pytest.mark.parametrize(
    ("prior", "told"),
    [
        (1e-3, "prior 1e-3, which left 63 % of the connections after 12 epochs of MNIST;"),
        (5e-2, "prior 0.05, which left 5.2 % of"),
        (2e-2, "prior 0.02, which left 5.2 % to 26 % of"),
        (1e-4, "prior 1e-4, which left more than 63 % of"),
        (0.9, "prior 0.9, which left less than 0.94 % of"),
    ],
)
def test_a_prior_is_told_with_what_it_left(prior: float, told: str) -> None:
    text = outlook(grad_r(prior=prior))
    assert text.startswith(told)
    assert "sparsity 0.95 is not the share that goes" in text
    assert "--target-connectivity 0.05" in text


def test_other_outlooks() -> None:
    params = net().parameters()
    assert outlook(grad_r(prior=0.0)) == "nothing is pruned"
    assert outlook(optim.Adam(params)) == "nothing is pruned"
    assert outlook(grad_r(target_connectivity=0.05)) == (
        "prior moves by itself, to end at 5 % of the connections"
    )
    assert outlook(optim.STDS(params, target_connectivity=0.1)).startswith("threshold moves by")
    assert outlook(optim.STDS(params)) == ""
    assert outlook(optim.Magnitude(params, target_connectivity=0.025)) == (
        "to end at 2.5 % of the connections"
    )


@pytest.mark.parametrize(
    ("target", "text", "warned"),
    [
        (0.01, "cosine", True),
        (0.01, "cosine:floor=0.01", True),
        (0.01, "step", True),
        (0.01, "cosine:floor=0.1", False),
        (0.01, "constant", False),
        (0.05, "cosine", False),
        (0.0, "cosine", False),
    ],
)
def test_a_low_target_with_a_rate_that_ends_at_0(target: float, text: str, warned: bool) -> None:
    found = cautions(grad_r(target_connectivity=target), schedule(text), 3000)
    assert len(found) == warned
    assert all("schedule constant" in one for one in found)
    magnitude = optim.Magnitude(net().parameters(), target_connectivity=0.01)
    assert cautions(magnitude, schedule("cosine"), 1000) == []


@pytest.mark.parametrize(
    ("target", "steps", "warned"),
    [(0.0073, 2340, True), (0.025, 2999, True), (0.025, 3000, False), (0.03, 100, False),
     (0.0, 100, False)],
)  # fmt: skip
def test_a_low_target_in_few_steps(target: float, steps: int, warned: bool) -> None:
    found = cautions(grad_r(target_connectivity=target), schedule("constant"), steps)
    assert len(found) == warned
    for one in found:
        assert one.startswith(f"target_connectivity {target:g} in {steps:,} steps takes a prior")
        assert one.endswith("try: more epochs, or method magnitude, which has no prior")
    # both, where both are so; the threshold of STDS says at once how many are left
    assert len(cautions(grad_r(target_connectivity=0.01), schedule("cosine"), 99)) == 2
    stds = optim.STDS(net().parameters(), target_connectivity=0.01)
    assert cautions(stds, schedule("constant"), 99) == []


class Heard(Callback):
    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def warning(self, trainer: Trainer, text: str) -> None:
        self.told.append((trainer.epoch, text))


def test_it_is_told_once_before_the_first_step(tiny: Dataset, tmp_path: Path) -> None:
    network, heard = net(), Heard()
    optimizer = optim.GradR(network.parameters(), target_connectivity=0.01)
    settings = {"batch_size": 40, "checkpoint": tmp_path / "c.h5", "schedule": "cosine"}
    Trainer(network, optimizer, tiny, epochs=1, callbacks=[heard], **settings).fit()
    assert [epoch for epoch, text in heard.told if "is reached late" in text] == [0]
    again = Heard()
    Trainer.resume(tmp_path / "c.h5", tiny, epochs=2, callbacks=[again]).fit()
    assert not any("is reached late" in text for _, text in again.told)


def test_a_target_that_was_missed_is_told() -> None:
    optimizer = grad_r(target_connectivity=0.1, lr=0.5)
    (text,) = missed(optimizer, 0.12)
    assert text.startswith("12 % of the connections are left, not 10 %")
    assert "a higher lr (=0.5)" in text
    assert missed(optimizer, 0.109) == missed(grad_r(), 0.9) == []


def test_numbers_are_short() -> None:
    assert [short(v) for v in (1e-3, 2.5e-4, 0.95, 1.0, 20, "mse", 0.0)] == [
        "1e-3", "2.5e-4", "0.95", "1", "20", "mse", "0",
    ]  # fmt: skip
