"""Evaluation: sums that can be merged, whatever the batches; modes; memory."""

from collections.abc import Callable

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import nn
from snnr.errors import ConfigError, ShapeError
from snnr.input import Images
from snnr.tensor import Tensor
from snnr.training import Evaluation, evaluate, evaluation
from snnr.training.evaluation import fitting_batch
from snnr.training.losses import LOSSES, Tally, rates

from .runs import network


@pytest.fixture
def source(tiny: Dataset) -> Images:
    return Images(tiny.x_test, tiny.mean, tiny.std)


@pytest.fixture
def run(tiny: Dataset, source: Images) -> Callable[..., Evaluation]:
    net = network()
    # so that neurons fire
    for p in net.parameters():
        p.assign(2 * p.numpy())
    return lambda **settings: evaluate(net, source, tiny.y_test, **settings)


def activity(result: Evaluation) -> tuple[object, ...]:
    found = result.activity
    assert found is not None
    return found.images, found.neurons, found.sops, found.macs


@pytest.mark.parametrize("loss", LOSSES)
def test_a_short_last_batch_weighs_what_it_is(run: Callable[..., Evaluation], loss: str) -> None:
    whole = run(loss=loss, batch_size=80)
    for size in (1, 7, 79, 81):
        parts = run(loss=loss, batch_size=size)
        assert (parts.images, parts.correct) == (whole.images, whole.correct) == (80, whole.correct)
        assert parts.accuracy == whole.accuracy == whole.correct / 80
        assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
        assert activity(parts) == activity(whole)
    assert 0 < whole.accuracy < 1


def test_results_of_disjoint_samples_add_up(run: Callable[..., Evaluation]) -> None:
    whole = run(batch_size=10)
    parts = [run(batch_size=10, index=part) for part in np.split(np.arange(80), [10, 70])]
    assert [part.images for part in parts] == [10, 60, 10]
    assert len({part.accuracy for part in parts}) > 1
    total = parts[2]
    total.merge(parts[0])
    total.merge(parts[1])
    assert (total.images, total.correct) == (80, whole.correct)
    assert total.loss_sum == pytest.approx(whole.loss_sum, rel=1e-12)
    assert activity(total) == activity(whole)
    assert total.seconds > max(part.seconds for part in parts[:2])


def test_activity_is_unknown_where_one_part_did_not_count(run: Callable[..., Evaluation]) -> None:
    total = run(index=np.arange(40))
    assert total.activity is not None
    total.merge(run(index=np.arange(40, 80), activity=False))
    assert total.activity is None
    assert total.images == 80


def test_the_loss_and_the_answers_are_those_of_the_rates(
    run: Callable[..., Evaluation], source: Images, tiny: Dataset
) -> None:
    net = network().eval()
    with snnr.no_grad():
        rate = rates(net, source.batch(np.arange(80))).numpy()
    result = evaluate(net, source, tiny.y_test, batch_size=80)
    wanted = np.eye(4)[tiny.y_test]
    assert result.loss == pytest.approx(((rate - wanted) ** 2).mean(), rel=1e-5)
    assert result.correct == (rate.argmax(axis=1) == tiny.y_test).sum()


def test_every_layer_gets_its_own_mode_back(source: Images, tiny: Dataset) -> None:
    net = network()
    net[1].training = False  # a frozen normalisation
    modes = [layer.training for layer in net.layers()]
    assert len(set(modes)) == 2
    evaluate(net, source, tiny.y_test)
    fitting_batch(net, source)
    assert [layer.training for layer in net.layers()] == modes


def test_what_cannot_be_evaluated_is_refused(source: Images, tiny: Dataset) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.LIF(), T=2)
    with pytest.raises(ShapeError, match=r"answers with \[3\] per image, the labels go up to 3"):
        evaluate(net, source, tiny.y_test)
    with pytest.raises(ConfigError, match="unknown loss 'hinge'"):
        evaluate(network(), source, tiny.y_test, loss="hinge")
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        evaluate(network(), source, tiny.y_test, index=np.zeros(0, np.int64))
    with pytest.raises(ShapeError, match="index runs from 0 to 80"):
        evaluate(network(), source, tiny.y_test, index=np.array([0, 80]))


def test_a_batch_fits_the_memory_of_its_largest_layer(
    source: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spikes of T=3 steps in front of the pooling, a byte each and four for their current."""
    largest = 3 * 5 * 8 * 8 * 5
    monkeypatch.setattr(evaluation, "_MAX_BATCH", 1000)
    for count in (1, 4, 100):
        monkeypatch.setattr(evaluation, "_BUDGET", count * largest + largest // 2)
        assert fitting_batch(network(), source) == count
    monkeypatch.setattr(evaluation, "_MAX_BATCH", 9)
    assert fitting_batch(network(), source) == 9
    monkeypatch.setattr(evaluation, "_BUDGET", 1)
    assert fitting_batch(network(), source) == 1


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_a_tally_sums_in_double_precision(device: str) -> None:
    tally, rng = Tally(device), np.random.default_rng(0)
    losses = rng.normal(size=400).astype(np.float32)
    right = 0
    for loss in losses:
        rate, labels = rng.normal(size=(3, 4)).astype(np.float32), rng.integers(0, 4, 3)
        right += int((rate.argmax(axis=1) == labels).sum())
        tally.add(Tensor(loss, device=device), Tensor(rate, device=device), labels, 3)
    expected = 0.0
    for loss in losses:
        expected += float(loss) * 3
    assert tally.loss == expected
    assert tally.correct == right > 0
    tally.set(1e-300, 7)
    assert (tally.loss, tally.correct) == (1e-300, 7)
    tally.set()
    assert (tally.loss, tally.correct) == (0.0, 0)
