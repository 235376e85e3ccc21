"""What trainings of the paper's networks launch, in full size and on paper."""

import numpy as np

from snnr import kernels, models, no_grad, optim
from snnr.activity import ActivityCounter
from snnr.errors import DeviceError
from snnr.input import Images
from snnr.kernels.cuda import OPERATIONS, device
from snnr.nn import Sequential
from snnr.training.losses import loss_function
from snnr.training.step import Step

from .paper import Launched, Paper

NAME = "paper"
#: network -> images in a batch, shape of one, kind of moves, loss
TRAININGS = {
    "mnist_fc": (128, (1, 28, 28), "affine", "mse"),
    "csnn": (32, (1, 28, 28), "affine", "cross-entropy"),
    "cifar10_conv": (16, (3, 32, 32), "crop-flip", "mse"),
}


def _register() -> None:
    """Under a name of its own: nobody else in this process shall find a card."""
    try:
        kernels.register(NAME, lambda: kernels.assemble(NAME, False, OPERATIONS))
    except DeviceError:  # it is there already
        return


def _optimizer(name: str, net: Sequential) -> optim.Optimizer:
    if name == "csnn":
        return optim.GradR(net.parameters(), form="sgd")
    return optim.GradR(net.parameters())


def launches() -> dict[Launched, str]:
    """Every kernel with the types it is launched with, and the first network that does."""
    _register()
    found: dict[Launched, str] = {}
    for name, (batch, shape, moves, loss) in TRAININGS.items():
        machine = Paper()
        device.use(machine)
        try:
            _train(name, batch, shape, moves, loss)
        finally:
            device.use(None)
        for one in machine.launched:
            found.setdefault(one, name)
    return found


def _train(name: str, batch: int, shape: tuple[int, int, int], moves: str, loss: str) -> None:
    net = models.make(name, device=NAME, input_shape=shape)
    pixels = np.zeros((batch, *shape), np.uint8)
    source = Images(pixels, [0.5] * shape[0], [0.5] * shape[0], moves, NAME)  # type: ignore[arg-type]
    index, labels = np.arange(batch), np.zeros(batch, np.int64)
    step = Step(net, _optimizer(name, net), loss_function(loss), NAME)
    for _ in range(3):  # a plain one, and two of a recording
        step.take(step.batch(source, index, np.random.default_rng(0)), labels)
    assert step.recorder is not None
    assert step.recorder.replays == 2
    assert step.finite()
    counter = ActivityCounter(net.eval())
    with no_grad(), counter.watching():
        net(source.batch(index))
