"""snnr bench."""

import json

import pytest
from click.testing import CliRunner
from snnr.cli import main


def test_json_has_every_figure():
    arguments = ["bench", "--net", "mnist_fc", "--connectivity", "0.1", "--batch-size", "16"]
    result = CliRunner().invoke(main, [*arguments, "--seconds", "0.02", "--json", "-q"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["machine"]["threads"] >= 1
    (row,) = found["results"]
    assert row["net"] == "mnist_fc"
    assert row["batch_size"] == 16
    assert row["connectivity"] == pytest.approx(0.1, abs=0.01)
    assert 0.05 < row["firing_rate"] < 0.5
    assert 0 < row["train_step_p10_ms"] <= row["train_step_ms"] <= row["train_step_p90_ms"]
    assert row["inference_one_ms"] > 0
    assert row["peak_memory_bytes"] > 10_000_000


def test_table_and_progress_are_apart():
    arguments = ["bench", "--net", "mnist_fc", "--connectivity", "1", "--batch-size", "8"]
    result = CliRunner().invoke(main, [*arguments, "--seconds", "0.02"])
    assert result.exit_code == 0, result.stderr
    assert "train step" in result.stdout
    assert "mnist_fc at 100 % connectivity" in result.stderr
    assert "mnist_fc at" not in result.stdout
