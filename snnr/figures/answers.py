"""What a run answers to the test images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr import data
from snnr.checkpoint import Checkpoint
from snnr.data import Dataset
from snnr.errors import CheckpointError
from snnr.input import Images
from snnr.training import evaluate


def images_of(found: Checkpoint, data_dir: str | None = None) -> tuple[Dataset, Any, Any]:
    """The data set of a run, with mean and standard deviation of its training.

    Raises
    ------
    SnnrError : it is not told, or not here.
    """
    config = found.config
    name = config.get("dataset")
    if not isinstance(name, str):
        raise CheckpointError(f"{found.path} does not say what data set it was trained on")
    images = data.load(name, data_dir or config.get("data_dir"))
    trained = config.get("data")
    known = trained if isinstance(trained, dict) else {}
    return images, known.get("mean", images.mean), known.get("std", images.std)


def confusion(found: Checkpoint, data_dir: str | None = None) -> NDArray[np.int64]:
    """How many test images of each class get which answer, ``[class, answer]``. Raises as
    `images_of`."""
    images, mean, std = images_of(found, data_dir)
    source = Images(images.x_test, mean, std, device=found.network.device)
    result = evaluate(found.network, source, images.y_test, activity=False, confusion=True)
    assert result.confusion is not None
    return result.confusion
