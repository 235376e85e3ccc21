"""Steps run from a recording have the bits of steps that are launched one by one, whatever changes
between them; and no step is launched one by one that need not be."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import kernels, nn, optim
from snnr.input import Samples
from snnr.nn.dropout import Draws
from snnr.tensor import Tensor
from snnr.training import Callback, Trainer, step
from snnr.training.losses import LOSSES, loss_function

from .. import opaque
from ..opaque import NAME
from .runs import StopAt
from .test_refusals import Blobs
from .test_resume import BATCH, EPOCHS, NETWORKS, begun, everything

opaque.register()
STEPS = 4 * EPOCHS
CASE = {
    "method": "grad-r", "network": "dropped", "augment": "affine", "seed": 3, "loss": "mse",
}  # fmt: skip
Change = Callable[[Trainer], None]


class At(Callback):
    """Does something after a step."""

    def __init__(self, steps: int, change: Change) -> None:
        self.left = steps
        self.change = change

    def step(self, trainer: Trainer) -> None:
        self.left -= 1
        if self.left == 0:
            self.change(trainer)


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opaque, "recordings", 0)
    monkeypatch.setattr(opaque, "asked", 0)
    monkeypatch.setattr(opaque, "choices", [])


def trained(data: Dataset, device: str, *callbacks: Callback, **changed: Any) -> Trainer:
    run = begun(data, {**CASE, **changed, "device": device}, None)
    run.callbacks += callbacks
    run.fit()
    return run


def samples_of_ones_own(device: str) -> Samples:
    labels = np.arange(60) % 4
    return Samples("blobs", Blobs(device), labels, Blobs(device), labels, 4)


def replays(run: Trainer) -> int:
    recorder = run._step.recorder
    assert recorder is not None
    return recorder.replays


def check(data: Dataset, *changes: tuple[int, Change], **case: Any) -> Trainer:
    """Both devices, with changes after steps; the training on the device that records."""
    plain, run = (
        trained(data, device, *(At(*change) for change in changes), **case)
        for device in ("reference", NAME)
    )
    assert dict(everything(run)) == dict(everything(plain))
    assert run.optimizer.connectivity() == plain.optimizer.connectivity()
    assert run.optimizer.take_changes() == plain.optimizer.take_changes()
    return run


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("network", list(NETWORKS))
@pytest.mark.parametrize(("method", "augment"), [
    ("deep-r", False), ("soft-deep-r", "affine"), ("stds", False),
    ("dense", False), ("grad-r", "affine"), ("grad-r", "crop-flip"),
    ("set", "affine"), ("rigl", False), ("magnitude", False), ("imp", "affine"),
])  # fmt: skip
def test_recorded_steps_have_the_bits_of_plain_ones(
    tiny: Dataset, method: str, network: str, loss: str, augment: Any
) -> None:
    run = check(tiny, method=method, network=network, loss=loss, augment=augment)
    # through two epochs, with the evaluation between them
    assert (opaque.recordings, replays(run)) == (1, STEPS - 1)


def setting(name: str, value: Any) -> Change:
    return lambda run: setattr(run.optimizer, name, value)


def of_layer(index: int, name: str, value: Any) -> Change:
    return lambda run: setattr(run.network[index], name, value)


def moved_twice(run: Trainer) -> None:
    device = run.network.device
    run.network.to("cpu").to(device)


def one_moved_twice(run: Trainer) -> None:
    run.network[2].bias.to("cpu").to(run.network.device)


def other_state(run: Trainer) -> None:
    kept = run.optimizer.state[run.network[2].weight].memory
    backend = run.network[2].weight.backend
    kept["exp_avg"] = backend.zeros(kept["exp_avg"].shape)


def other_counts(run: Trainer) -> None:
    run.optimizer._count(run.network[2].weight)


def mask(run: Trainer) -> None:
    one = (np.arange(BATCH * 64).reshape(BATCH, 64) % 3 > 0).astype(np.uint8)
    run.network[1].fixed_mask = Tensor(one, device=run.network.device)


def assigned(run: Trainer) -> None:
    """By hand: a weight, with zeros and turned signs; running statistics; optimizer state."""
    weight = run.network[2].weight
    values = weight.numpy() * -0.5
    values[:, ::3] = 0
    weight.assign(values)
    run.network[3].running_mean.assign(np.linspace(-1, 1, 8))
    run.optimizer.state[weight].assign("exp_avg", np.zeros(weight.shape))


def loaded(run: Trainer) -> None:
    for layer in run.network.layers():
        for array in layer.arrays().values():
            array.assign(array.numpy() * 0.9)


def smaller(run: Trainer) -> None:
    run.batch_size = 10


def key(run: Trainer) -> None:
    run.network[1].draws.key = 99


def other_draws(run: Trainer) -> None:
    run.network[1].draws = Draws(5, 6, run.network.device)


def other_layer(run: Trainer) -> None:
    fresh = nn.Dropout(0.6, rng=8).to(run.network.device)
    fresh.training = True
    run.network[5].in_order[0] = fresh
    run.network[5]._stages = nn.sequential.grouped(run.network[5].in_order)


@pytest.mark.parametrize(
    "change",
    [
        setting("lr", 0.1), setting("prior", 2.0), setting("sparsity", 0.6), assigned, loaded,
        lambda run: setattr(run.network[1].draws, "counter", 2**64 - 3),
        lambda run: run.evaluate(),
        lambda run: run.optimizer.take_changes(), lambda run: run.optimizer.zero_grad(),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [1, 3])
def test_what_lies_in_memory_needs_no_new_recording(
    tiny: Dataset, change: Change, first: int
) -> None:
    """Also between the plain step and the recording."""
    run = check(tiny, (first, change), (5, change))
    assert (opaque.recordings, replays(run)) == (1, STEPS - 1)


@pytest.mark.parametrize(
    "change",
    [
        setting("betas", (0.5, 0.9)), setting("eps", 0.1), setting("form", "sgd"),
        of_layer(1, "p", 0.7), of_layer(1, "p", 0.0), mask, key,
        other_draws, of_layer(3, "momentum", 0.5),
        of_layer(3, "eps", 0.1), of_layer(3, "training", False), of_layer(1, "training", False),
        of_layer(4, "tau", 3.0), of_layer(4, "v_threshold", 0.5), of_layer(4, "T", 3),
        of_layer(6, "v_reset", 0.0), moved_twice, one_moved_twice, other_state, other_counts,
        smaller, other_layer,
        lambda run: setattr(run.network[2].weight, "requires_grad", False),
        lambda run: setattr(run.network[3].scale, "requires_grad", False),
        lambda run: setattr(run._step, "loss", loss_function("cross-entropy")),
        lambda run: run.optimizer.params.pop(),
    ],
)  # fmt: skip
def test_any_other_change_is_recorded_anew(tiny: Dataset, change: Change) -> None:
    # within an epoch, whose start puts every layer into training mode
    run = check(tiny, (5, change))
    assert (opaque.recordings, replays(run)) == (2, STEPS - 2)


def test_the_first_form_may_be_the_plain_one(tiny: Dataset) -> None:
    run = check(tiny, (1, setting("form", "sgd")))
    assert (opaque.recordings, replays(run)) == (1, STEPS - 2)
    assert {state.steps for state in run.optimizer.state.values()} == {STEPS}


class Seam(Callback):
    def gradients(self, trainer: Trainer) -> None:
        p = trainer.network[2].weight
        p.grad = np.clip(p.grad_numpy(), -1e-3, 1e-3)


def test_a_seam_that_comes_and_goes(tiny: Dataset) -> None:
    seam = Seam()
    run = check(
        tiny,
        (3, lambda run: run.callbacks.append(seam)),
        (5, lambda run: run.callbacks.remove(seam)),
    )
    # plain: the first, two with the seam, the one after them
    assert (opaque.recordings, replays(run)) == (2, STEPS - 4)


def test_who_watches_sees_every_layer_of_every_step(tiny: Dataset) -> None:
    for device in ("reference", NAME):
        seen: list[tuple[str, Tensor]] = []
        stack = ExitStack()
        run = begun(tiny, {**CASE, "device": device}, None)
        watch = run.network.observed(lambda name, x, seen=seen: seen.append((name, x)))
        run.callbacks += [
            At(3, lambda run, stack=stack, watch=watch: stack.enter_context(watch)),
            At(5, lambda run, stack=stack: stack.close()),
        ]
        run.fit()
        found = dict(everything(run))
        told = [(name, x.numpy().tobytes()) for name, x in seen]
        if device == "reference":
            expected = found, told
    # what was kept of the first step is not overwritten by the second
    assert (found, told) == expected
    assert len({told[0][1], told[len(told) // 2][1]}) == 2
    assert (opaque.recordings, replays(run)) == (2, STEPS - 4)


class Counting(nn.Dropout):
    """Has an effect besides its launches, and promises nothing."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.__dict__["calls"] = self.calls + 1
        return super().forward(x)


class Scheduled(optim.Adam):
    def after(self) -> None:
        self.lr *= 0.7


class Promising(nn.Layer, launches_alike=True):
    """Promises what it does not keep: a mask from the host."""

    def forward(self, x: Tensor) -> Tensor:
        return snnr.functional.dropout(x, 0.5, np.ones(x.sample_shape, np.uint8))


def test_layers_and_optimizers_that_promise_nothing_are_called_each_time(tiny: Dataset) -> None:
    def run(device: str, change: Callable[[nn.Sequential], nn.Sequential], kind: Any) -> Trainer:
        made = begun(tiny, {**CASE, "device": device}, None)
        net = change(nn.Sequential(*made.network, device=device))
        again = Trainer(net, kind(net.parameters(), lr=0.02), made.samples, BATCH, EPOCHS)
        again.fit()
        return again

    def counting(net: nn.Sequential) -> nn.Sequential:
        fresh = Counting(0.3, rng=1)
        return nn.Sequential(net[0], fresh, *list(net)[2:], T=2, device=net.device)

    def promising(net: nn.Sequential) -> nn.Sequential:
        return nn.Sequential(net[0], Promising(), *list(net)[2:], T=2, device=net.device)

    for change, kind in (
        (counting, optim.Adam), (lambda net: net, Scheduled), (promising, optim.GradR),
    ):  # fmt: skip
        plain, device = (run(name, change, kind) for name in ("reference", NAME))
        assert dict(everything(plain)) == dict(everything(device))
        assert (opaque.recordings, replays(device)) == (0, 0)
    assert counting(plain.network)[1].calls == 0
    assert device.optimizer.step_count == STEPS


class Branches(nn.Layer, launches_alike=True):
    """Layers in a list, which is no attribute that is replaced."""

    def __init__(self) -> None:
        self.parts = [nn.Linear(4, 4, rng=0), nn.Linear(4, 4, rng=1)]

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


def test_a_layer_that_is_put_into_a_list_is_seen() -> None:
    found = []
    for device in ("reference", NAME):
        net = nn.Sequential(Branches(), nn.LIF(), T=3, device=device)
        optimizer = optim.Adam(net.parameters(), lr=0.1)
        run = Trainer(net, optimizer, samples_of_ones_own(device), 20, 2)
        other = nn.Linear(4, 4, rng=2).to(device)
        other.call("0_branches.parts_1")
        for p in other.parameters():
            p.requires_grad = False
        run.callbacks.append(
            At(3, lambda run, other=other: run.network[0].parts.__setitem__(1, other))
        )
        run.fit()
        found.append(dict(everything(run)))
    assert found[0] == found[1]
    assert replays(run) == 4


def test_gradients_that_nobody_moves_add_up(tiny: Dataset) -> None:
    found = []
    for device in ("reference", NAME):
        run = begun(tiny, {**CASE, "device": device}, None)
        moved = run.network[2].own_parameters().values()
        made = Trainer(run.network, optim.Adam(moved), run.samples, BATCH, EPOCHS)
        made.callbacks.append(At(5, lambda run: setattr(run.network[3].scale, "grad_memory", None)))
        made.fit()
        gradients = [p.grad_numpy() for p in run.network.parameters()]
        found.append([None if g is None else g.tobytes() for g in gradients])
    assert found[0] == found[1]
    # first absent, then there, then absent for one of them, then there
    assert replays(made) == STEPS - 4


def test_stops_and_checkpoints_within_an_epoch(tiny: Dataset, tmp_path: Path) -> None:
    whole = trained(tiny, "reference")
    for stops in ([1], [3], [2, 1, 2]):
        run = begun(tiny, {**CASE, "device": NAME}, tmp_path / "c.h5")
        for steps in stops:
            run.callbacks.append(StopAt(steps))
            with pytest.raises(snnr.Interrupted):
                run.fit()
            run = Trainer.resume(tmp_path / "c.h5", tiny, device=NAME)
        run.fit()
        assert dict(everything(run)) == dict(everything(whole))
        assert replays(run) == STEPS - sum(stops) - 1


@pytest.mark.parametrize(("every", "told"), [(2, "step 4 .epoch 1"), (64, "step 9 .epoch 2")])
def test_divergence_is_noticed_where_plain_steps_notice_it(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch, every: int, told: str
) -> None:
    monkeypatch.setattr(step, "LOOK_EVERY", every)

    def break_(run: Trainer) -> None:
        weight = run.network[2].weight
        weight.assign(np.full(weight.shape, np.nan))

    class Plain(Callback):
        def gradients(self, trainer: Trainer) -> None:
            """Nothing."""

    for callbacks, expected in ([], 3 if every == 2 else STEPS - 1), ([Plain()], 0):
        run = begun(tiny, {**CASE, "device": NAME}, None)
        run.callbacks += [At(3 if every == 2 else 4, break_), *callbacks]
        with np.errstate(all="ignore"), pytest.raises(snnr.DivergedError, match=told):
            run.fit()
        # the update of the step that is looked at has been made
        assert replays(run) == expected


def failing(error: Exception) -> Callable[[Callable[[], None]], Any]:
    """A device that gives up at the end of a recording."""

    def record(work: Callable[[], None]) -> Any:
        opaque.record(work)
        raise error

    return record


def test_a_recording_that_fails_leaves_everything(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trained(tiny, "reference")
    monkeypatch.setitem(vars(kernels.backend(NAME)), "record", failing(snnr.DeviceError("no")))
    run = trained(tiny, NAME)
    assert dict(everything(run)) == dict(everything(plain))
    # it is not tried again in each step
    assert (opaque.recordings, replays(run)) == (1, 0)


def test_another_error_while_recording_is_told(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tiny, {**CASE, "device": NAME}, None)
    before: list[Any] = []

    def remember(run: Trainer) -> None:
        before.append(dict(everything(run)))
        before.append([p.grad_memory for p in run.network.parameters()])

    run.callbacks.append(At(1, remember))
    monkeypatch.setitem(vars(kernels.backend(NAME)), "record", failing(KeyError("bug")))
    with pytest.raises(KeyError, match="bug"):
        run.fit()
    state = dict(everything(run))
    assert state.pop("order") != before[0].pop("order")  # the batch was drawn
    assert state == before[0]
    assert [p.grad_memory for p in run.network.parameters()] == before[1]
    assert run.optimizer.step_count == 1
    assert all(run.optimizer.seen[p] == p.version for p in run.optimizer.params)


def test_choices_are_reconsidered_when_the_flag_is_read(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "LOOK_EVERY", 3)
    opaque.choices += [False, False, False, True]
    run = check(tiny)
    # after steps 3 and 4 of each epoch, for both weights; another choice at the end of the first
    assert opaque.asked == 8
    assert (opaque.recordings, replays(run)) == (2, STEPS - 2)
