"""What a training tells those who follow it."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnr.training.trainer import Trainer


class Callback:
    """Base of what a `Trainer` calls; override what is of interest.

    An epoch ends in this order: evaluation, its row of the history, `epoch` and `warning` of each
    callback, the checkpoint. So a checkpoint holds what callbacks set (the optimizer's lr or prior,
    a weight), and a training that is resumed goes on with it; what a callback knows by itself is
    not kept. One that raises ends the training, after the epoch is saved.
    """

    def begin(self, trainer: "Trainer") -> None:
        """Before the first step of a `Trainer.fit`, new or resumed; what is thrown here ends it."""

    def gradients(self, trainer: "Trainer") -> None:
        """Between the backward pass and the update: gradients may be read and changed here, in
        `.grad` of the parameters or in their memory. What is not finite afterwards stops the
        training."""

    def step(self, trainer: "Trainer") -> None:
        """After each optimizer step."""

    def evaluation(self, done: int, total: int) -> None:
        """After each batch of an evaluation: images done, and in all."""

    def epoch(self, trainer: "Trainer", row: Mapping[str, Any]) -> None:
        """After each epoch, with its row of the history."""

    def warning(self, trainer: "Trainer", text: str) -> None:
        """After an epoch at whose end something is wrong with the network that was not before (see
        `Trainer.warnings`); before the first one, where settings are known to go wrong."""

    def stopping(self) -> None:
        """When a signal asks to stop (Ctrl-C); the step that runs is finished first."""

    def end(self, trainer: "Trainer", error: BaseException | None) -> None:
        """When a `Trainer.fit` that had begun ends: all epochs are done (None), or by an error or a
        signal, which goes on after this."""


def has_seam(callbacks: Iterable[Callback]) -> bool:
    """Whether somebody looks at the gradients before the update."""
    bodies = (getattr(one.gradients, "__func__", None) for one in callbacks)
    return any(body is not Callback.gradients for body in bodies)
