"""Trainings that are steered to a connectivity: where they end, and every bit on the way."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import models, optim
from snnr.errors import CheckpointError, ConfigError, Interrupted
from snnr.kernels.threads import set_threads
from snnr.optim.steering import planned
from snnr.training import Callback, Trainer, resume, run_settings, start
from snnr.training.settings import run_folder

from ..opaque import NAME, register
from .runs import StopAt, network, state

register()
TARGETS = (0.2, 0.05, 0.02, 0.01)
#: a form and what suits it
FORMS = {"adam": {"lr": 0.01}, "sgd": {"lr": 10.0, "prior": 1e-4}}


class Seen(Callback):
    """Takes down the prior of each step and the connectivity after it."""

    def __init__(self) -> None:
        self.priors: list[float] = []
        self.connectivities: list[float] = []

    def gradients(self, trainer: Trainer) -> None:
        assert isinstance(trainer.optimizer, optim.GradR)
        self.before = trainer.optimizer.connectivity()

    def step(self, trainer: Trainer) -> None:
        assert isinstance(trainer.optimizer, optim.GradR)
        self.priors.append(trainer.optimizer.prior)
        self.connectivities.append(trainer.optimizer.connectivity())


@pytest.fixture(scope="module")
def few() -> Dataset:
    """4,800 images of MNIST to train with, and few to test."""
    mnist = snnr.data.load("mnist", limit_train=4800)
    return replace(mnist, x_test=mnist.x_test[:200], y_test=mnist.y_test[:200])


def steered(
    data: Dataset, target: float, net: str = "mnist_fc", batch: int = 16, **settings: Any
) -> Trainer:
    built = models.make(net, T=4, seed=0)
    optimizer = optim.GradR(built.parameters(), target_connectivity=target, **settings)
    return Trainer(built, optimizer, data, batch, 1)


def tiny_run(
    data: Dataset, path: Path | None = None, target: float = 0.3, device: str = "cpu", **more: Any
) -> Trainer:
    net = network().to(device)
    settings = {"lr": 0.02, "prior": 0.1, "target_connectivity": target}
    optimizer = optim.GradR(net.parameters(), **settings)
    return Trainer(net, optimizer, data, 20, 4, checkpoint=path, **more)


def test_the_plan_goes_from_all_to_the_target_and_stays() -> None:
    found, falls = zip(*(planned(n / 1000, 0.02) for n in range(1001)), strict=True)
    assert found[0] == 1
    assert all(a >= b for a, b in pairwise(found))
    assert found[500] == pytest.approx(0.02 + 0.98 * (1 - 0.5 / 0.9) ** 4)
    assert set(found[900:]) == {0.02}
    np.testing.assert_allclose(falls[1:-1], -np.gradient(found, 1e-3)[1:-1], atol=1e-2)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("form", FORMS)
def test_three_hundred_steps_end_at_the_target(few: Dataset, form: str, target: float) -> None:
    run = steered(few, target, form=form, **FORMS[form])
    run.fit()
    found = run.optimizer.connectivity()
    assert found == sum(np.count_nonzero(p.numpy()) for p in run.network.parameters()) / 635_200
    assert abs(found / target - 1) < 0.1


@pytest.mark.parametrize("target", TARGETS)
def test_stds_moves_its_threshold_to_end_there(few: Dataset, target: float) -> None:
    built = models.mnist_fc(T=4, seed=0)
    optimizer = optim.STDS(built.parameters(), lr=0.01, target_connectivity=target)
    Trainer(built, optimizer, few, 16, 1).fit()
    assert optimizer.steered == "threshold"
    assert abs(optimizer.connectivity() / target - 1) < 0.1


def test_stds_goes_on_with_the_same_bits(tiny: Dataset, tmp_path: Path) -> None:
    def begun(path: Path | None = None, **more: Any) -> Trainer:
        net = network()
        optimizer = optim.STDS(net.parameters(), lr=0.02, target_connectivity=0.3)
        return Trainer(net, optimizer, tiny, 20, 4, checkpoint=path, **more)

    whole, run = begun(), begun(tmp_path / "c.h5", callbacks=[StopAt(17)])
    whole.fit()
    with pytest.raises(Interrupted):
        run.fit()
    run = Trainer.resume(tmp_path / "c.h5", tiny)
    run.fit()
    assert list(state(run)) == list(state(whole))
    assert run.optimizer.threshold == whole.optimizer.threshold != 0.05
    with pytest.raises(ConfigError, match=r"threshold \(=0\) must be greater than 0 with"):
        optim.STDS(run.network.parameters(), threshold=0, target_connectivity=0.3)


@pytest.mark.parametrize(
    "more", [{"prior": 0.3, "lr": 0.01}, {"prior": 1e-6, "lr": 0.01}, {"sparsity": 0.7, "lr": 1e-3}]
)
def test_neither_the_start_nor_the_location_of_the_prior_decides(
    few: Dataset, more: dict[str, float]
) -> None:
    run = steered(few, 0.05, **more)
    run.fit()
    assert abs(run.optimizer.connectivity() / 0.05 - 1) < 0.1


def test_a_rate_that_falls_to_0_still_gets_there(few: Dataset) -> None:
    built = models.mnist_fc(T=4, seed=0)
    optimizer = optim.GradR(built.parameters(), lr=0.01, target_connectivity=0.05)
    Trainer(built, optimizer, few, 16, 1, schedule="cosine").fit()
    assert abs(optimizer.connectivity() / 0.05 - 1) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_csnn_ends_at_the_target(few: Dataset, target: float) -> None:
    run = steered(few, target, "csnn:channels=32", lr=3e-3)
    run.fit()
    assert abs(run.optimizer.connectivity() / target - 1) < 0.1


def test_the_prior_moves_as_the_rule_says(tiny: Dataset) -> None:
    seen = Seen()
    run = tiny_run(tiny, callbacks=[seen])
    run.fit()
    assert len(seen.priors) == 40
    prior, lag, connectivity = 0.1, 0.0, 1.0
    flow = 4 * 0.694 / 0.9 + 0.3
    for step, (used, after) in enumerate(zip(seen.priors, seen.connectivities, strict=True)):
        left = max(1 - step / 40 / 0.9, 0)
        wanted = 0.306 + 0.694 * left**4
        now = math.log(connectivity / wanted)
        pace, before = 4 * 0.694 / 0.9 * left**3 + 0.3 * wanted, flow
        # 40 steps are answered twice as fast as the plan goes
        move = 2 * wanted / pace * (now - lag) + 2 * wanted / pace * 2 / 4 / 40 * now * (
            1 + 10 * abs(now)
        )
        move += math.log(pace / before) / 4
        if step:
            prior *= math.exp(min(max(move, -1), 1 if now > 0 else 0))
        lag, connectivity, flow = now, after, pace
        assert used == pytest.approx(prior, rel=1e-9)
    assert run.history["settings"]["prior"] == seen.priors[9::10]
    assert run.optimizer.steered == "prior"


def test_it_is_not_raised_where_connections_are_missing() -> None:
    net = network()
    optimizer = optim.GradR(net.parameters(), prior=0.1, target_connectivity=0.9)
    optimizer.begin(net, 40)
    for p in net.parameters():
        p.assign(np.where(np.arange(p.size).reshape(p.shape) % 2, p.numpy(), 0))
        p.grad = np.zeros(p.shape, np.float32)
    for p in optimizer.counts:
        p.backend.count_nonzero(p.memory, optimizer.counts[p])
    priors = []
    for _ in range(39):
        optimizer.step()
        priors.append(optimizer.prior)
    assert optimizer.lag < 0
    assert all(a >= b for a, b in pairwise(priors))
    assert priors[-1] < 0.01


def test_without_a_target_the_prior_stays(tiny: Dataset) -> None:
    run = tiny_run(tiny, target=0)
    run.fit()
    assert (run.optimizer.prior, run.optimizer.lag, run.optimizer.steered) == (0.1, 0, None)


@pytest.mark.parametrize("steps", [7, 20, 33])
def test_going_on_gives_the_bits_of_never_having_stopped(
    tiny: Dataset, tmp_path: Path, steps: int
) -> None:
    whole = tiny_run(tiny)
    whole.fit()
    run = tiny_run(tiny, tmp_path / "c.h5", callbacks=[StopAt(steps)])
    with pytest.raises(Interrupted):
        run.fit()
    run = Trainer.resume(tmp_path / "c.h5", tiny)
    run.fit()
    assert list(state(run)) == list(state(whole))
    assert (run.optimizer.prior, run.optimizer.lag) == (whole.optimizer.prior, whole.optimizer.lag)
    assert len(set(run.history["settings"]["prior"])) == 4


def test_looks_between_which_steps_are_taken_resume_too(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnr.optim.steering.LOOKS", 6)  # every sixth of the steps
    seen = Seen()
    whole = tiny_run(tiny, callbacks=[seen])
    whole.fit()
    assert [step for step in range(1, 40) if seen.priors[step] != seen.priors[step - 1]] == [
        6, 12, 18, 24, 30, 36,
    ]  # fmt: skip
    run = tiny_run(tiny, tmp_path / "c.h5", callbacks=[StopAt(16)])
    with pytest.raises(Interrupted):
        run.fit()
    run = Trainer.resume(tmp_path / "c.h5", tiny)
    run.fit()
    assert list(state(run)) == list(state(whole))


def test_every_backend_and_a_recording_take_the_same_way(tiny: Dataset) -> None:
    plain, recorded = (tiny_run(tiny, device=device) for device in ("reference", NAME))
    for run in (plain, recorded):
        run.fit()
    assert list(state(recorded)) == list(state(plain))
    assert recorded.optimizer.prior == plain.optimizer.prior != 0.1
    assert recorded._step.recorder is not None
    assert recorded._step.recorder.replays == 39


def test_threads_change_nothing(tiny: Dataset) -> None:
    found = []
    before = set_threads(None)
    try:
        for threads in (1, 2):
            set_threads(min(threads, before))
            run = tiny_run(tiny)
            run.fit()
            found.append([*state(run), repr(run.optimizer.prior).encode()])
    finally:
        set_threads(before)
    assert found[0] == found[1]


def test_more_epochs_stretch_the_plan(tiny: Dataset, tmp_path: Path) -> None:
    tiny_run(tiny, tmp_path / "c.h5").fit()
    run = Trainer.resume(tmp_path / "c.h5", tiny, epochs=8)
    run.fit()
    assert run.optimizer.step_count == 80
    assert run.optimizer.connectivity() < 0.4


def test_a_loop_of_ones_own_has_to_say_how_long_it_is(tiny: Dataset) -> None:
    net = network()
    optimizer = optim.GradR(net.parameters(), target_connectivity=0.1)
    for p in net.parameters():
        p.grad = np.ones(p.shape, np.float32)
    before = [p.numpy().copy() for p in net.parameters()]
    with pytest.raises(ConfigError, match=r"call optimizer.begin\(network, steps\) before"):
        optimizer.step()
    assert optimizer.step_count == 0
    for p, old in zip(net.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), old)
    optimizer.begin(net, 10)
    optimizer.step()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target_connectivity": 1.5}, r"target_connectivity \(=1.5\) must be .*at most 1"),
        ({"target_connectivity": -0.1}, r"target_connectivity \(=-0.1\) must be .*at least 0"),
        ({"target_connectivity": 0.1, "prior": 0}, r"prior \(=0\) must be greater than 0 with"),
        ({"target_connectivity": 0.1, "sparsity": 0.5}, r"sparsity \(=0.5\) must be greater"),
        ({"target_connectivity": 0.1, "method": "dense"}, "means nothing to method 'dense'"),
    ],
)
def test_what_cannot_be_steered_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_settings("mnist", **given)


def test_runs_are_told_apart_by_their_target(tiny_file: Path, tmp_path: Path) -> None:
    def folder(**given: Any) -> str:
        return run_folder(run_settings("mnist", **given).as_config()).name

    assert folder(target_connectivity=0.02) == "mnist-grad-r-prior0.001-target0.02-seed0"
    assert folder(target_connectivity=0) == folder() == "mnist-grad-r-prior0.001-seed0"
    short = {"epochs": 1, "batch_size": 50, "timesteps": 2, "target_connectivity": 0.5}
    start(run_settings(str(tiny_file), **short), tmp_path / "c.h5").fit()
    with pytest.raises(ConfigError, match=r"trained with target-connectivity 0\.5, not 0\.2"):
        resume(tmp_path / "c.h5", {"target_connectivity": 0.2})


def test_what_a_file_says_of_the_steering_is_checked(tiny: Dataset, tmp_path: Path) -> None:
    run = tiny_run(tiny, tmp_path / "c.h5")
    run.fit()
    found = snnr.load(tmp_path / "c.h5").optimizer
    assert isinstance(found, optim.GradR)
    assert (found.lag, found.prior) == (run.optimizer.lag, run.optimizer.prior)
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        file["optimizer"].attrs["lag"] = math.inf
    with pytest.raises(CheckpointError, match="has lag inf, expected a finite number"):
        snnr.load(tmp_path / "c.h5")
