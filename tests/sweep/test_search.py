"""Searches for the best accuracy at a connectivity."""

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from snnr.checkpoint import load_record
from snnr.errors import ConfigError, Interrupted, SnnrError
from snnr.sweep import Search, search

optuna = pytest.importorskip("optuna")
SHORT: dict[str, Any] = {
    "net": "fc8-lif-fc4-lif", "epochs": 2, "timesteps": 2, "batch_size": 10, "limit_train": 100,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True)
def wider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty steps do not end at a connectivity to a tenth."""
    monkeypatch.setattr(search, "SLACK", 3.0)


def searching(data: Path, out: Path, at: float = 0.4, **more: Any) -> Search:
    return Search(str(data), at, out=out, **{**SHORT, **more})


def test_trials_are_runs_and_the_best_comes_first(tiny_file: Path, tmp_path: Path) -> None:
    events: list[tuple[str, Mapping[str, Any]]] = []
    looked = searching(tiny_file, tmp_path / "s", lr=0.01, prune=False)
    assert list(looked.space) == ["prior", "sparsity"]
    found = looked.go(3, lambda run, event: events.append((run, event)))
    assert [trial.state for trial in found] == ["complete"] * 3
    assert found[0].accuracy == max(trial.accuracy or 0 for trial in found)
    assert len({trial.run for trial in found}) == 3
    for trial in found:
        assert trial.run is not None
        record = load_record(tmp_path / "s" / trial.run)
        assert (record.accuracy, record.connectivity) == (trial.accuracy, trial.connectivity)
        assert record.config["target_connectivity"] == 0.4
        assert record.config["lr"] == 0.01
        assert {k: record.config[k] for k in trial.settings} == trial.settings
        for name, value in trial.settings.items():
            least, most, _ = search.SPACES[name]
            assert least <= value <= most
    assert [run for run, event in events if event["event"] == "finished"] == [
        trial.run for trial in sorted(found, key=lambda t: t.number)
    ]
    again = searching(tiny_file, tmp_path / "s", lr=0.01)
    assert again.trials() == found
    assert again.go(3) == found
    more = again.go(4)
    assert len(more) == 4
    assert {t.run for t in found} < {t.run for t in more}


def test_the_same_search_tries_the_same_and_says_nothing(
    tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = optuna.logging.get_verbosity()
    levels: set[int] = set()

    def told(run: str, event: Mapping[str, Any]) -> None:
        levels.add(optuna.logging.get_verbosity())

    found = [searching(tiny_file, tmp_path / name, epochs=1).go(3, told) for name in "ab"]
    first, second = ({trial.number: trial.settings for trial in trials} for trials in found)
    assert first == second
    assert len({str(settings) for settings in first.values()}) == 3
    assert capfd.readouterr() == ("", "")
    assert levels == {optuna.logging.CRITICAL}
    assert optuna.logging.get_verbosity() == before


def test_two_share_one_storage(tiny_file: Path, tmp_path: Path) -> None:
    """Another folder, the same study: the trials of one count for the other."""
    url = f"sqlite:///{tmp_path / 'both.db'}"
    one, other = (
        searching(tiny_file, tmp_path / name, storage=url, epochs=1) for name in ("a", "b")
    )
    one.go(1)
    found = other.go(2)
    assert len(found) == 2
    assert len(list(tmp_path.glob("[ab]/grad-r-*/checkpoint.h5"))) == 2
    assert searching(tiny_file, tmp_path / "c", at=0.5, storage=url).trials() == []


def test_what_was_interrupted_goes_on_first(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = searching(tiny_file, tmp_path / "s")
    whole = search.execute

    def stopped(*arguments: Any) -> dict[str, Any]:
        whole({**arguments[0], "epochs": 1}, *arguments[1:3])
        return {"event": "stopped", "signal": 15}

    monkeypatch.setattr(search, "execute", stopped)
    with pytest.raises(Interrupted, match=r"interrupted in trial 0, .*; the same command goes on"):
        looked.go(2)
    first = next(trial for trial in looked.trials() if trial.number == 0)
    assert (first.state, first.why) == ("fail", None)
    monkeypatch.setattr(search, "execute", whole)
    found = {trial.number: trial for trial in looked.go(2)}
    # the broken one is not counted, and is gone on with
    assert [found[n].state for n in (0, 1, 2)] == ["fail", "complete", "complete"]
    assert found[1].settings == first.settings
    assert found[1].run == first.run
    assert load_record(tmp_path / "s" / str(first.run)).epoch == 2


def test_a_process_that_died_leaves_its_trial_to_the_next(tiny_file: Path, tmp_path: Path) -> None:
    looked = searching(tiny_file, tmp_path / "s", epochs=1)
    tmp_path.joinpath("s").mkdir()
    with looked._quietly(), looked._study() as study:
        # begun, never heard of again: as heartbeats long ago say
        with warnings.catch_warnings(action="ignore"):
            dead = study.ask()
        dead.suggest_float("lr", *search.SPACES["lr"][:2], log=True)
        study._storage.record_heartbeat(dead._trial_id)
        engine = study._storage._backend.engine
        with engine.begin() as connection:
            from sqlalchemy import text

            connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00'"))
    found = {trial.number: trial for trial in looked.go(1)}
    assert [found[n].state for n in (0, 1)] == ["fail", "complete"]
    assert found[1].settings["lr"] == found[0].settings["lr"]


def test_failures_and_misses_count_and_do_not_stop_the_others(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SLACK", 1e-6)
    missed = searching(tiny_file, tmp_path / "a", epochs=1).go(1)
    assert (missed[0].state, missed[0].why) == (
        "pruned", f"ended at {100 * (missed[0].connectivity or 0):.3g} %",
    )  # fmt: skip
    monkeypatch.setattr(
        search, "execute", lambda *arguments: {"event": "failed", "error": "diverged"}
    )
    failed = searching(tiny_file, tmp_path / "b").go(2)
    assert [(t.state, t.why, t.accuracy) for t in failed] == [("fail", "diverged", None)] * 2


def test_a_run_that_is_worse_than_the_others_ends_early(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda trial: trial.number == 1)
    found = {t.number: t for t in searching(tiny_file, tmp_path / "s", epochs=3).go(2)}
    assert found[0].state == "complete"
    assert (found[1].state, found[1].why) == ("pruned", "worse than the median")
    assert load_record(tmp_path / "s" / str(found[1].run)).epoch < 3


def test_a_search_of_before_is_found_by_its_name() -> None:
    assert Search("mnist", 0.05).name == "mnist-grad-r-at0.05-7c168976"
    assert Search("mnist", 0.05, lr=0.01).name == "mnist-grad-r-at0.05-308d5597"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"method": "dense"},
            "method 'dense' cannot end at a connectivity; choose among grad-r, deep-r, stds, set, "
            "rigl, magnitude, imp$",
        ),
        ({"method": "magic"}, r"method \(='magic'\) must be one of"),
        ({"at": 0.0}, r"at \(=0\) must be greater than 0"),
        ({"lr": 0.1, "prior": 0.1, "sparsity": 0.9}, "every setting of grad-r is given"),
        ({"loss": "hinge"}, "hinge"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tiny_file: Path, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        searching(tiny_file, tmp_path / "s", **more)
    assert not (tmp_path / "s").exists()


def test_a_storage_that_does_not_answer_is_told(tiny_file: Path, tmp_path: Path) -> None:
    looked = searching(tiny_file, tmp_path / "s", storage="sqlite:////nowhere/at/all.db")
    with pytest.raises(SnnrError, match=r"the storage sqlite:////nowhere\S+ cannot be used"):
        looked.go(1)


def test_without_optuna_the_extra_is_named(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'snnr\[optuna\]'"):
        searching(tiny_file, tmp_path / "s")
