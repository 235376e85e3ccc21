"""Whether operations are recorded is a matter of the calling context, and never goes unnoticed."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.tensor import Tensor, no_grad

WAIT = 20.0


def recorded() -> bool:
    x = Tensor(np.ones(2, np.float32), requires_grad=True, device="reference")
    return F.add(x, x).requires_grad


def in_a_thread(task: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(task).result(WAIT)


def test_blocks_that_overlap_in_two_threads_leave_recording_on() -> None:
    """A opens, B opens, A closes, B closes: what B found when it opened was A's doing."""
    first_open, second_open, first_closed = (threading.Event() for _ in range(3))
    inside: list[bool] = []

    def first() -> None:
        with no_grad():
            first_open.set()
            assert second_open.wait(WAIT)
            inside.append(recorded())
        first_closed.set()

    def second() -> None:
        assert first_open.wait(WAIT)
        with no_grad():
            second_open.set()
            assert first_closed.wait(WAIT)
            inside.append(recorded())

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result(WAIT)
    assert inside == [False, False]
    assert recorded()
    assert in_a_thread(recorded)


def test_a_block_is_no_matter_of_other_threads() -> None:
    with no_grad():
        assert in_a_thread(recorded)
    opened, asked = threading.Event(), threading.Event()

    def quiet() -> None:
        with no_grad():
            opened.set()
            assert asked.wait(WAIT)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(quiet)
        assert opened.wait(WAIT)
        try:
            assert recorded()
        finally:
            asked.set()
            done.result(WAIT)


def test_a_block_is_no_matter_of_other_tasks() -> None:
    async def quiet(opened: asyncio.Event, asked: asyncio.Event) -> None:
        with no_grad():
            opened.set()
            await asked.wait()

    async def main() -> bool:
        opened, asked = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(quiet(opened, asked))
        await opened.wait()
        found = recorded()
        asked.set()
        await task
        return found

    assert asyncio.run(main())


def test_training_learns_while_another_thread_evaluates() -> None:
    opened, trained = threading.Event(), threading.Event()

    def evaluate() -> None:
        with no_grad():
            opened.set()
            assert trained.wait(WAIT)

    net = nn.Sequential(nn.Linear(4, 3, rng=0), nn.LIF(), T=2, device="reference")
    before = net.parameters()[0].numpy().copy()
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(evaluate)
        try:
            assert opened.wait(WAIT)
            x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
            loss = F.mse_loss(F.mean_time(net(x)), np.ones((5, 3), np.float32))
            loss.backward()
            optimizer.step()
        finally:
            trained.set()
            done.result(WAIT)
    assert (net.parameters()[0].numpy() != before).any()


def off_the_tape() -> dict[str, Tensor]:
    x = Tensor(np.ones(1, np.float32), requires_grad=True)
    with no_grad():
        quiet = F.add(x, x)
    plain = Tensor(np.ones(1, np.float32))
    return {
        "made without recording": quiet,
        "of inputs without gradient": F.add(plain, plain),
        "a constant": plain,
        "detached": F.add(x, x).detach(),
    }


@pytest.mark.parametrize("name", off_the_tape())
def test_backward_from_a_tensor_off_the_tape_is_an_error(name: str) -> None:
    tensor = off_the_tape()[name]
    with pytest.raises(RuntimeError, match=r"tape|no_grad|requires_grad|recorded") as caught:
        tensor.backward()
    assert isinstance(caught.value, snnr.SnnrError)
    assert type(caught.value).__name__ == "TapeError"


def test_a_graph_that_was_freed_raises_the_same_error() -> None:
    x = Tensor(np.ones(1, np.float32), requires_grad=True)
    y = F.add(x, x)
    y.backward()
    with pytest.raises(RuntimeError, match="freed") as caught:
        y.backward()
    assert isinstance(caught.value, snnr.SnnrError)
