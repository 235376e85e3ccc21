"""What every layer has: named arrays, layers inside, settings, train and eval mode, a device."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

from snnr.errors import ConfigError, UnknownName
from snnr.kernels import resolve
from snnr.nn.arrays import Seed, Shape, Spec, _Empty, generator
from snnr.nn.names import ELSEWHERE
from snnr.nn.watching import Hook, Watch, watches_of, watching
from snnr.tensor import Buffer, Parameter, Stored, Tensor
from snnr.tensor.checks import expect_tensors


class Layer(ABC):
    """Base of all layers: holds arrays and shapes; the mathematics is in `snnr.functional`.

    A subclass keeps its arrays (`Parameter`, `Buffer`) and the layers inside it as attributes; both
    are found there, trained, moved and saved. To be saved it is registered (`snnr.nn.register`)
    and can be made again from its `settings`.

    ``class Mine(Layer, launches_alike=True)`` promises that `forward` launches the same each time
    while the layer's attributes are the same objects, and has no other effect: then training steps
    on a device may be recorded and run again without calling it. Subclasses promise for themselves.
    """

    #: names of attributes that are the constructor's arguments; None: as the constructor has them
    SETTINGS: ClassVar[tuple[str, ...] | None] = None

    #: see above
    launches_alike: ClassVar[bool] = False

    training: bool = True
    #: path within the network, e.g. "0_linear" or "3_sequential.0_conv2d"
    name: str = ""
    device: str = "cpu"

    def __init_subclass__(cls, launches_alike: bool = False, **others: Any) -> None:
        super().__init_subclass__(**others)
        cls.launches_alike = launches_alike

    def __call__(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            expect_tensors(self.name or self.kind, x=x)
        watches = watches_of(self)
        if not watches:
            return self.forward(x)
        for watch in watches:
            if watch.root is self:
                watch.begin(x)
        out = self.forward(x)
        for watch in watches:
            if watch.root is not self:
                watch.after(self, x, out)
        return out

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to a sequence or a static tensor."""

    @property
    def kind(self) -> str:
        """Class name, as in a checkpoint."""
        return type(self).__name__

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one sample behind the layer, from that in front; without batch and time.

        Raises
        ------
        ShapeError : the layer does not take samples of that shape.
        ConfigError : the layer does not say.
        """
        raise ConfigError(
            f"{self.kind} does not say its output shape; define output_shape(self, shape)"
        )

    # Settings

    @classmethod
    def setting_names(cls) -> list[str]:
        """SETTINGS; by default the arguments of the constructor, but for the random generator."""
        if cls.SETTINGS is not None:
            return list(cls.SETTINGS)
        parameters = inspect.signature(cls).parameters.values()
        plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return [p.name for p in parameters if p.kind in plain and p.name != "rng"]

    def settings(self) -> dict[str, Any]:
        """What makes this layer again, without the values of its arrays: by default each argument
        of the constructor from the attribute of the same name.

        Raises
        ------
        ConfigError : there is no such attribute.
        """
        found = {}
        for key in self.setting_names():
            if not hasattr(self, key):
                raise ConfigError(
                    f"{self.kind} keeps no attribute {key!r}, so that it cannot be made again: set "
                    f"self.{key} in __init__, or define settings()"
                )
            found[key] = getattr(self, key)
        return found

    # Arrays

    @classmethod
    def declare(cls, **settings: Any) -> dict[str, Spec]:
        """The arrays that a layer of these settings has, by short name; nothing is allocated."""
        return {}

    def own(self, specs: dict[str, Spec], rng: Seed | _Empty) -> None:
        """Make the declared arrays, each an attribute; `rng` draws their first values in order."""
        random = rng if isinstance(rng, _Empty) else generator(rng)
        for name, spec in specs.items():
            setattr(self, name, spec.make(random))

    def arrays(self) -> dict[str, Stored]:
        """This layer's own parameters and buffers by short name."""
        return {key: value for key, value in vars(self).items() if isinstance(value, Stored)}

    def own_parameters(self) -> dict[str, Parameter]:
        """This layer's own parameters by short name ("weight", "bias", "scale", "shift")."""
        return {k: v for k, v in self.arrays().items() if isinstance(v, Parameter)}

    def buffers(self) -> dict[str, Buffer]:
        """This layer's own buffers by short name: saved, but not trained."""
        return {k: v for k, v in self.arrays().items() if isinstance(v, Buffer)}

    def parameters(self) -> list[Parameter]:
        """All parameters, those of layers inside included, in order."""
        return [p for layer in self.layers() for p in layer.own_parameters().values()]

    # Layers inside

    def children(self) -> dict[str, "Layer"]:
        """The layers directly inside, by attribute; those in a list as "<attribute>_<index>"."""
        found: dict[str, Layer] = {}
        for key, value in vars(self).items():
            if isinstance(value, Layer):
                found[key] = value
            elif isinstance(value, list | tuple):
                inside = enumerate(value)
                found |= {f"{key}_{i}": part for i, part in inside if isinstance(part, Layer)}
        return found

    def layers(self) -> Iterator["Layer"]:
        """This layer and all those inside it."""
        yield self
        for child in self.children().values():
            yield from child.layers()

    def call(self, name: str) -> None:
        """Give this layer, those inside and their arrays their paths.

        Raises
        ------
        ConfigError : a layer or a parameter stands in two places.
        """
        seen: dict[int, str] = {}
        self._call(name, seen)

    def _call(self, name: str, seen: dict[int, str]) -> None:
        self.name = name
        _once(self, self.kind, name, seen)
        prefix = f"{name}." if name else ""
        for short, array in self.arrays().items():
            array.name = f"{prefix}{short}"
            _once(array, type(array).__name__, array.name, seen)
        for key, child in self.children().items():
            child._call(f"{prefix}{key}", seen)

    # Mode and device

    def train(self, mode: bool = True) -> Self:
        """Training mode (batch statistics, dropout) or, with False, evaluation mode."""
        for layer in self.layers():
            layer.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode: running statistics, no dropout."""
        return self.train(False)

    def to(self, device: str) -> Self:
        """Move all arrays to a device ("auto" is the best there is); returns self.

        Raises
        ------
        DeviceError : there is no such device here; nothing was moved.
        """
        chosen = resolve(device)
        for layer in self.layers():
            layer.move(chosen)
        return self

    def move(self, device: str) -> None:
        """Move this layer alone, not those inside: its arrays, and what else it keeps in memory."""
        self.device = device
        for array in self.arrays().values():
            array.to(device)

    # Watching

    def watched(
        self, after: Hook, begin: Callable[[Tensor], None] = lambda x: None, spikes: bool = False
    ) -> AbstractContextManager[None]:
        """As `observed`, for whoever wants the layer itself and its input: see `watching.Watch`."""
        members = frozenset(map(id, self.layers()))
        return watching(Watch(self, members, begin, after, spikes))

    def observed(
        self, observer: Callable[[str, Tensor], None], spikes: bool = False
    ) -> AbstractContextManager[None]:
        """Within ``with network.observed(f):``, f is called with "" and the network's input, then
        with each layer's name and its output (of layers that run in one pass, the last one's).

        Holds for the calling thread or task alone; blocks nest. The same kernels run as without,
        unless `spikes` asks for the spikes of neurons in front of a pooling too: then those two run
        one after the other, with the same numbers.
        """
        return self.watched(
            lambda layer, _, out: observer(layer.name, out), lambda x: observer("", x), spikes
        )

    def __getattr__(self, name: str) -> Any:
        raise UnknownName(self.kind, name, lambda: [*dir(type(self)), *vars(self)], ELSEWHERE)

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self.settings().items())
        return f"{self.kind}({inside})"


def _once(thing: object, kind: str, name: str, seen: dict[int, str]) -> None:
    if id(thing) in seen:
        raise ConfigError(
            f"{name} and {seen[id(thing)]} are one and the same {kind}: give each place its own"
        )
    seen[id(thing)] = name
