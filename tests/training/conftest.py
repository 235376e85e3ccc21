"""What a training gives that nobody interrupts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import snnr
from snnr.training import evaluation

from .runs import state, trainer


@pytest.fixture(autouse=True, scope="package")
def _small_batches() -> Iterator[None]:
    """Several batches per evaluation, so that it can be interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_MAX_BATCH", 16)
        yield


@pytest.fixture(scope="package")
def uninterrupted(tiny_file: Path) -> list[bytes]:
    run = trainer(snnr.data.load(tiny_file))
    run.fit()
    return list(state(run))
