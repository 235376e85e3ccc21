"""The one place that knows `numba.cuda`: compile, launch, allocate, copy, capture.

Everything else of the backend takes its CUDA names from here (``from ...device import cuda``), so
that another implementation can be tried by changing this file. A `Machine` is what kernels run on:
a card, or Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``), which runs them as Python.
"""

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnr.errors import DeviceError
from snnr.kernels.cuda.geometry import CARD, SIMULATED, Limits
from snnr.kernels.watching import Begin, Unhook, follow

try:
    with warnings.catch_warnings():
        # beside NumPy 2.5 it warns of itself; where warnings are errors it would not load
        warnings.simplefilter("ignore", DeprecationWarning)
        from numba import cuda
except Exception as error:  # beside a NumPy that is too new for it, an AttributeError
    raise DeviceError(
        f"device 'cuda' cannot load numba-cuda {version('numba-cuda')} beside numpy "
        f"{np.__version__} and numba {version('numba')} ({type(error).__name__}: {error}): install "
        "versions that fit each other with pip install 'snnr[cuda]', or use device='cpu'"
    ) from error
if "numba_cuda" not in str(cuda.__file__):
    # a file *.pth of numba-cuda's puts it in the place of Numba's own, which has less
    raise DeviceError(
        f"device 'cuda' finds the kernels' compiler that numba {version('numba')} brings, and not "
        f"numba-cuda {version('numba-cuda')} (Python was started with -S, or its .pth file is "
        "missing): install 'snnr[cuda]' into this environment, or use device='cpu'"
    )

#: the least compute capability that CUDA 13 compiles for
LEAST_CAPABILITY = (7, 5)

Grid = tuple[int, int, int]
#: what a kernel takes: arrays of the machine, and NumPy or Python scalars
Argument = Any


#: what the driver's refusals are raised as; the simulator has none
_API_ERROR: type[Exception] = getattr(cuda.cudadrv.driver, "CudaAPIError", RuntimeError)


class OutOfMemory(Exception):
    """The machine has no block of that size left."""


class Kernel:
    """A function that runs once per thread; compiled for the types it is launched with."""

    def __init__(self, function: Callable[..., None], **options: Any) -> None:
        self.function = function
        self.options = options
        self.compiled = cuda.jit(function, **_taken(options))
        self.name = f"{function.__module__.removeprefix(_PACKAGE)}.{function.__name__}"
        self._configured: dict[tuple[Grid, Grid], Any] = {}
        KERNELS.append(self)

    def configured(self, grid: Grid, block: Grid, stream: Any = None) -> Any:
        """What launches it on so many blocks of so many threads, on a card."""
        if stream is not None:
            return _configure(self.compiled, grid, block, stream)
        found = self._configured.get((grid, block))
        if found is None:
            if len(self._configured) >= _MOST_CONFIGURATIONS:
                self._configured.clear()
            found = self._configured[grid, block] = _configure(self.compiled, grid, block, 0)
        return found

    def __repr__(self) -> str:
        return f"Kernel({self.name})"


def _configure(compiled: Any, grid: Grid, block: Grid, stream: Any) -> Any:
    with warnings.catch_warnings():  # a small layer has a small grid, and that is no mistake
        warnings.simplefilter("ignore")
        return compiled[grid, block, stream]


def _taken(options: dict[str, Any]) -> dict[str, Any]:
    """Without those that steer a compiler, in the simulator, which has none."""
    return {} if simulated() else options


_MOST_CONFIGURATIONS = 1000
_PACKAGE = f"{__package__}."
#: every kernel of the backend that was imported
KERNELS: list[Kernel] = []


def kernel(**options: Any) -> Callable[[Callable[..., None]], Kernel]:
    """Decorator: a kernel, to be run by `launch`. Options as for `numba.cuda.jit`."""

    def decorate(function: Callable[..., None]) -> Kernel:
        return Kernel(function, **options)

    return decorate


def function(source: Callable[..., Any], **options: Any) -> Any:
    """A function that kernels call, compiled with them; e.g. one of `snnr.kernels.rules`."""
    return cuda.jit(device=True, **_taken(options))(source)


class Machine(Protocol):
    """What launches go to. Arrays are its own: C-contiguous, of a shape and a dtype."""

    limits: Limits

    def allocate(self, nbytes: int) -> Any:
        """A block of uint8, aligned to 256 bytes.

        Raises
        ------
        OutOfMemory : there is no room.
        """

    def room(self) -> tuple[int, int]:
        """Bytes that are free and that there are."""

    def carve(self, block: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """The first bytes of a block as an array."""

    def reshape(self, array: Any, shape: tuple[int, ...]) -> Any:
        """The same bytes in another shape."""

    def address(self, array: Any) -> int:
        """Of the first byte, for libraries."""

    def read(self, array: Any) -> NDArray[Any]:
        """A new host array with the values; waits for what was launched before."""

    def write(self, values: NDArray[Any], array: Any) -> None:
        """array = the values, C-contiguous and of its dtype and shape."""

    def run(self, kernel: Kernel, grid: Grid, block: Grid, arguments: tuple[Argument, ...]) -> None:
        """Launch a kernel on the default stream."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Write down what `work` launches, without running it; what is returned runs it."""


class Simulator:
    """Kernels as Python functions, a thread of the system for each of theirs: slow, and it notices
    an index that is out of bounds."""

    limits = SIMULATED

    def __init__(self) -> None:
        # numba's simulator runs one kernel at a time, and fails or errs where two threads launch
        self._turn = threading.Lock()

    def allocate(self, nbytes: int) -> Any:
        block = cuda.device_array(nbytes, np.uint8)
        block[:] = 0xAA  # what reads it before it was written shall not find zeros
        return block

    def room(self) -> tuple[int, int]:
        return 1 << 34, 1 << 34

    def carve(self, block: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return block[: int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)

    def reshape(self, array: Any, shape: tuple[int, ...]) -> Any:
        return array.reshape(shape)

    def address(self, array: Any) -> int:
        return int(array._ary.ctypes.data)

    def read(self, array: Any) -> NDArray[Any]:
        values: NDArray[Any] = array.copy_to_host()
        return values

    def write(self, values: NDArray[Any], array: Any) -> None:
        array[...] = values

    def run(self, kernel: Kernel, grid: Grid, block: Grid, arguments: tuple[Argument, ...]) -> None:
        # a card does not warn of overflow or 0/0 either
        with self._turn, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            kernel.compiled[grid, block](*arguments)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        launches: list[tuple[Kernel, Grid, Grid, tuple[Argument, ...]]] = []
        with _recording(lambda *launched: launches.append(launched)):
            work()

        def replay() -> None:
            for launched in launches:
                self.run(*launched)

        return replay


class Card:
    """An NVIDIA GPU. Everything runs on the default stream, one after the other."""

    limits = CARD

    def __init__(self) -> None:
        self._context = cuda.current_context()
        self._processors = int(cuda.get_current_device().MULTIPROCESSOR_COUNT)
        self.limits = CARD._replace(blocks=CARD.blocks_per_processor * self._processors)
        self._process = os.getpid()

    def allocate(self, nbytes: int) -> Any:
        self._ours()
        try:
            return cuda.device_array(nbytes, np.uint8)
        except _API_ERROR as error:
            if "OUT_OF_MEMORY" in str(error):
                raise OutOfMemory from None
            raise _failed(error) from error

    def room(self) -> tuple[int, int]:
        told = self._context.get_memory_info()
        return int(told.free), int(told.total)

    def carve(self, block: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return _view(block, shape, dtype)

    def reshape(self, array: Any, shape: tuple[int, ...]) -> Any:
        return _view(array, shape, array.dtype)

    def address(self, array: Any) -> int:
        return int(array.device_ctypes_pointer.value or 0)

    def read(self, array: Any) -> NDArray[Any]:
        self._ours()
        values = np.empty(array.shape, array.dtype)
        if values.size:
            try:
                array.copy_to_host(values)
            except _API_ERROR as error:
                raise _failed(error) from error
        return values

    def write(self, values: NDArray[Any], array: Any) -> None:
        self._ours()
        if values.size:
            try:
                array.copy_to_device(values)
            except _API_ERROR as error:
                raise _failed(error) from error

    def run(self, kernel: Kernel, grid: Grid, block: Grid, arguments: tuple[Argument, ...]) -> None:
        self._ours()
        try:
            kernel.configured(grid, block)(*arguments)
        except _API_ERROR as error:
            raise _failed(error) from error

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        from cuda.core import Device, Stream

        with _capturing():
            here = Device(cuda.get_current_device().id)
            here.set_current()  # the context is numba's: both use the card's primary one
            stream = here.create_stream()
            # relaxed: blocks may be asked for and kernels loaded while launches are captured
            builder = stream.create_graph_builder().begin_building("relaxed")

        def add(kernel: Kernel, grid: Grid, block: Grid, arguments: tuple[Argument, ...]) -> None:
            kernel.configured(grid, block, builder)(*arguments)

        try:
            with _recording(add, int(stream.handle)):
                work()
            with _capturing():
                graph = builder.end_building().complete()
        finally:
            builder.close()
        default = Stream.from_handle(0)

        def replay() -> None:
            self._ours()
            graph.launch(default)

        weakref.finalize(replay, stream.close)
        return replay

    def _ours(self) -> None:
        if os.getpid() != self._process:
            raise DeviceError(
                "device 'cuda' was used before this process was forked, and CUDA does not survive "
                "that: start processes with multiprocessing's 'spawn'"
            )


@contextmanager
def _capturing() -> Iterator[None]:
    """A driver or a cuda.core that cannot capture costs time, and no training: it is told once."""
    try:
        yield
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"CUDA cannot capture a training step ({told}); its kernels are launched one by one, "
            "which takes longer and changes no result",
            RuntimeWarning,
            stacklevel=3,
        )
        raise DeviceError(f"device 'cuda' cannot capture launches: {told}") from error


def _failed(error: Exception) -> DeviceError:
    return DeviceError(
        f"device 'cuda' failed: {error}. What was launched before may be at fault, and nothing on "
        "the card can be trusted any more: start the process again (--resume goes on from the last "
        "checkpoint); compute-sanitizer finds the launch"
    )


def _view(array: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Made directly: `view` and `reshape` of a device array cost more than a launch."""
    from numba.cuda.cudadrv.devicearray import DeviceNDArray

    strides = []
    step = dtype.itemsize
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return DeviceNDArray(shape, tuple(reversed(strides)), dtype, gpu_data=array.gpu_data)


class _Recording:
    """What takes launches in place of the machine, and the stream that is captured (0: none)."""

    def __init__(self, add: Callable[[Kernel, Grid, Grid, Any], None], stream: int) -> None:
        self.add = add
        self.stream = stream


_current: ContextVar[_Recording | None] = ContextVar("recording", default=None)


@contextmanager
def _recording(add: Callable[[Kernel, Grid, Grid, Any], None], stream: int = 0) -> Iterator[None]:
    token = _current.set(_Recording(add, stream))
    try:
        yield
    finally:
        _current.reset(token)


def is_recording() -> bool:
    """Whether launches of this context are written down instead of run."""
    return _current.get() is not None


def stream() -> int:
    """Handle of the stream that libraries are to use: the captured one, or 0."""
    recording = _current.get()
    return 0 if recording is None else recording.stream


def simulated() -> bool:
    """Whether `numba.cuda` is the simulator."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


_machine: Machine | None = None


def machine() -> Machine:
    """The machine of this process, found at the first call.

    Raises
    ------
    DeviceError : there is no driver, no card, or only one that is too old.
    """
    global _machine
    if _machine is None:
        _machine = Simulator() if simulated() else _find()
    return _machine


def use(other: Machine | None) -> None:
    """Launch on another machine from now on (None: look for one again); tests use it."""
    global _machine
    _machine = other


def card_name() -> str:
    """What the card calls itself."""
    if simulated():
        return "Numba's simulator"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def _find() -> Card:
    if not cuda.is_available():
        told = str(getattr(cuda.cudadrv.driver.driver, "initialization_error", None) or "")
        reason = f" ({' '.join(told.split()).rstrip(':.')})" if told else ""
        raise DeviceError(
            f"device 'cuda' finds no NVIDIA driver or card{reason}: use device='cpu' (or 'auto'), "
            "or NUMBA_ENABLE_CUDASIM=1 to try small things in Numba's simulator"
        )
    found = cuda.get_current_device()
    capability = tuple(found.compute_capability)
    if capability < LEAST_CAPABILITY:
        (major, minor), least = capability, ".".join(map(str, LEAST_CAPABILITY))
        raise DeviceError(
            f"device 'cuda' takes cards of compute capability {least} or more: {card_name()} has "
            f"{major}.{minor}; use device='cpu' (or 'auto')"
        )
    return Card()


def launch(kernel: Kernel, grid: Grid | int, block: Grid | int, *arguments: Argument) -> None:
    """Run a kernel on arrays of the machine, after all that was launched before; a grid without a
    block is no launch."""
    blocks = (grid, 1, 1) if isinstance(grid, int) else grid
    threads = (block, 1, 1) if isinstance(block, int) else block
    if 0 in blocks:
        return
    recording = _current.get()
    if recording is None:
        machine().run(kernel, blocks, threads, arguments)
    else:
        recording.add(kernel, blocks, threads, arguments)


def compilations(begin: Begin, end: Callable[[], None]) -> Unhook:
    """As `snnr.kernels.watching.compilations`, for cards: all that is told of kernels there is that
    the compiler is at work. Nothing, where this numba-cuda tells nothing."""
    try:
        room = import_module("numba.cuda.core.event")
        return follow(room, "numba-cuda:compiler_lock", begin, end)
    except (ImportError, ValueError):
        return lambda: None
