"""The npz export: scipy alone runs it, with the spikes of the dense network."""

import json
from pathlib import Path

import numpy as np
import scipy.sparse

from snnr.export import write_npz

from .networks import MEAN, SPECS, STD, dense_spikes, network, normalised


def run(path: Path, images: np.ndarray) -> np.ndarray:
    """Rates of a network of linear layers, by the description in the file alone."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["network"]))
        mean, std = (file[key].reshape(1, -1, 1, 1) for key in ("mean", "std"))
        x = (images.astype(np.float32) / np.float32(255) - mean) / std
        values = [x.reshape(len(x), -1)] * about["T"]
        for stage in about["stages"]:
            path_ = stage["path"]
            matrix = scipy.sparse.csr_matrix(
                (file[f"{path_}/data"], file[f"{path_}/indices"], file[f"{path_}/indptr"]),
                shape=file[f"{path_}/shape"],
            )
            neuron = stage["neuron"]
            v = np.full((len(x), matrix.shape[0]), neuron["v_reset"], np.float32)
            out = []
            for value in values:
                current = (matrix @ value.T).T
                h = neuron["decay"] * v + neuron["drive"] * current + neuron["rest"]
                spikes = h >= neuron["v_threshold"]
                soft = h - neuron["v_threshold"] * spikes
                v = soft if neuron["soft"] else np.where(spikes, neuron["v_reset"], h)
                out.append(spikes.astype(np.float32))
            values = out
    return np.mean(values, axis=0)


def test_scipy_runs_it(tmp_path: Path, pixels: np.ndarray) -> None:
    for spec in ("fc", "soft", "reset"):
        net = network(SPECS[spec])
        path = write_npz(net, tmp_path / "n.npz", input_shape=(2, 9, 8), mean=MEAN, std=STD)
        _, rates = dense_spikes(net, normalised(pixels))
        assert (run(path, pixels) == rates).mean() > 0.98


def test_a_convolution_is_described(tmp_path: Path) -> None:
    net = network(SPECS["conv"])
    path = write_npz(net, tmp_path / "n.npz", input_shape=(2, 9, 8))
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["network"]))
        first = about["stages"][0]
        assert first["kernel"] == {"shape": [6, 2, 3, 3], "stride": 1, "padding": 1}
        assert first["pool"] == {"kind": "max", "size": 2, "stride": 2}
        assert about["stages"][-1]["vote"] == 2
        assert file["0_conv2d/shape"].tolist() == [6, 18]
        assert file["0_conv2d/gain"].dtype == np.float32
        assert "mean" not in file
        dense = net[0].weight.numpy().reshape(6, -1)
        found = scipy.sparse.csr_matrix(
            (file["0_conv2d/data"], file["0_conv2d/indices"], file["0_conv2d/indptr"]),
            shape=file["0_conv2d/shape"],
        )
        np.testing.assert_array_equal(found.toarray(), dense[file["0_conv2d/kept"]])
