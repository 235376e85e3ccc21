"""The best accuracy at a connectivity: settings chosen by Optuna, each trial a run in its folder.

What is known of the trials is in Optuna's storage, which several processes may share; what a run
has done is in its folder. So a search goes on where it stopped, and a run that was broken off goes
on with the same bits.
"""

import contextlib
import hashlib
import json
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnr.checkpoint import CHECKPOINT, load_record
from snnr.errors import ConfigError, Interrupted, SnnrError
from snnr.sweep.grid import digest, run_name
from snnr.sweep.job import execute
from snnr.training.folder import REACH
from snnr.training.settings import METHODS, RunSettings, run_settings, takes

#: setting -> what is tried: least, most, and whether by its logarithm
SPACES: dict[str, tuple[float, float, bool]] = {
    "lr": (1e-4, 1e-2, True),
    "prior": (1e-4, 1e-1, True),
    "sparsity": (0.6, 0.99, False),
}
#: a run that ends at more than this times the connectivity asked for has missed it
SLACK = REACH
_HEARTBEAT = 60  # seconds; a process that is silent for twice as long is dead

#: receives the name of a run and what happened in it
Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Trial:
    """One trial: its number, state (complete, pruned, fail, running, waiting), settings that were
    chosen, run, accuracy and connectivity at its end (None where it has none), and why it is not
    complete."""

    number: int
    state: str
    settings: dict[str, float]
    run: str | None
    accuracy: float | None
    connectivity: float | None
    why: str | None


class Search:
    """Looks for the settings with which a method is most accurate at a connectivity.

    Parameters
    ----------
    dataset, recipe, fixed : as for `snnr.training.run_settings`; what is fixed is not searched.
    at : the connectivity that every run is to end at.
    out : folder of the runs; None names one after all that is fixed.
    storage : URL of Optuna's storage; None is an SQLite file in the folder.
    prune : end runs early that are worse than the median of the others after as many epochs.

    Raises
    ------
    ConfigError : Optuna is not installed; the method cannot end at a connectivity, or a setting
        makes no sense; or nothing is left to search.
    """

    def __init__(
        self,
        dataset: str,
        at: float,
        recipe: str | None = None,
        out: Path | None = None,
        storage: str | None = None,
        prune: bool = True,
        **fixed: Any,
    ) -> None:
        try:
            import optuna
        except ImportError:
            raise ConfigError(
                "a search needs Optuna, which is not installed: pip install 'snnr[optuna]'"
            ) from None
        self._optuna = optuna
        self._asked = {key: value for key, value in fixed.items() if value is not None}
        self._asked |= {"target_connectivity": at}
        method = str(self._asked.get("method", RunSettings.method))
        if method not in METHODS:
            raise ConfigError(f"method (={method!r}) must be one of {', '.join(METHODS)}")
        if not takes(method, "target_connectivity"):
            able = [name for name in METHODS if takes(name, "target_connectivity")]
            raise ConfigError(
                f"method {method!r} cannot end at a connectivity; choose among {', '.join(able)}"
            )
        if not 0 < at <= 1:
            raise ConfigError(f"at (={at:g}) must be greater than 0 and at most 1")
        self.dataset, self.recipe, self.at = dataset, recipe, at
        settings = run_settings(dataset, recipe, **self._asked)
        self.space = {
            name: bounds
            for name, bounds in SPACES.items()
            if takes(method, name) and name not in self._asked
        }
        if not self.space:
            raise ConfigError(f"every setting of {method} is given, so that nothing is to be found")
        self._epochs = settings.epochs
        config = {k: v for k, v in settings.as_config().items() if k not in self.space}
        self.name = f"{Path(settings.dataset).stem}-{method}-at{at:g}-{_hashed(digest(config))}"
        self.out = Path("searches") / self.name if out is None else out
        self.storage = storage or f"sqlite:///{self.out.absolute() / 'study.db'}"
        self._prune = prune

    def go(self, trials: int, tell: Tell = lambda run, event: None) -> list[Trial]:
        """Make trials until there are so many in all, of whatever process, and return them.

        Raises
        ------
        Interrupted : Ctrl-C, SIGTERM or SIGHUP; the run that was under way is saved, and is the
            first to go on.
        SnnrError : the storage cannot be used.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with self._quietly(), self._study() as study:
            while self._made(study) < trials:
                # numbers of its own for every trial, whichever process makes it
                seed = int(_hashed(f"{self.name} {len(study.get_trials(deepcopy=False))}"), 16)
                study.sampler = self._optuna.samplers.TPESampler(seed=seed)
                study.optimize(lambda trial: self._run(trial, tell), 1, catch=(SnnrError,))
            return self._told(study)

    def trials(self) -> list[Trial]:
        """What was tried so far."""
        with self._quietly(), self._study() as study:
            return self._told(study)

    @contextlib.contextmanager
    def _study(self) -> Iterator[Any]:
        """The study, and none of the storage's connections afterwards."""
        optuna = self._optuna
        pruner: Any = optuna.pruners.NopPruner()
        if self._prune:
            pruner = optuna.pruners.MedianPruner(5, n_warmup_steps=max(1, self._epochs // 3))
        storage: Any = None
        try:
            storage = optuna.storages.RDBStorage(
                self.storage,
                heartbeat_interval=_HEARTBEAT,
                heartbeat_stale_trial_callback=(optuna.storages.RetryHeartbeatStaleTrialCallback()),
            )
            study = optuna.create_study(
                storage=storage, study_name=self.name, direction="maximize", pruner=pruner,
                load_if_exists=True,
            )  # fmt: skip
        except Exception as error:  # whatever the database's driver raises
            _disposed(storage)
            raise SnnrError(
                f"the storage {self.storage} cannot be used ({type(error).__name__}: {error})"
            ) from error
        try:
            yield study
        finally:
            _disposed(storage)

    def _made(self, study: Any) -> int:
        """Trials that count: not those that a later one goes on with."""
        self._optuna.storages.fail_stale_trials(study)
        states = ("RUNNING", "COMPLETE", "PRUNED")
        return sum(
            trial.state.name in states or (trial.state.name == "FAIL" and "why" in trial.user_attrs)
            for trial in study.get_trials(deepcopy=False)
        )

    def _run(self, trial: Any, tell: Tell) -> float:
        chosen = {
            name: trial.suggest_float(name, least, most, log=log)
            for name, (least, most, log) in self.space.items()
        }
        config = run_settings(self.dataset, self.recipe, **{**self._asked, **chosen}).as_config()
        name = run_name(config)
        trial.set_user_attr("run", name)
        given_up = False

        def told(event: Mapping[str, Any]) -> None:
            nonlocal given_up
            if event["event"] == "epoch":
                trial.report(event["test_accuracy"], int(event["epoch"]))
                given_up = given_up or bool(trial.should_prune())
            tell(name, event)

        result = execute(config, self.out / name, told, lambda: given_up)
        if result["event"] == "stopped" and not given_up:
            trial.study.enqueue_trial(trial.params)
            raise Interrupted(
                f"interrupted in trial {trial.number}, {self.out / name}; the same command goes on",
                result.get("signal", signal.SIGINT),
            )
        why = result.get("error") or ("worse than the median" if given_up else None)
        if result["event"] == "finished":
            record = load_record(self.out / name / CHECKPOINT)
            trial.set_user_attr("accuracy", record.accuracy)
            trial.set_user_attr("connectivity", record.connectivity)
            missed = record.connectivity > SLACK * self.at
            why = f"ended at {100 * record.connectivity:.3g} %" if missed else None
        if why is not None:
            trial.set_user_attr("why", why)
            tell(name, {"event": "failed", "error": why})
            if result["event"] == "failed":
                raise SnnrError(why)
            raise self._optuna.TrialPruned(why)
        tell(name, {"event": "finished"})
        return float(record.accuracy or 0.0)

    def _told(self, study: Any) -> list[Trial]:
        """The best first, then those that are not complete, in their order."""
        found = [
            Trial(
                trial.number, trial.state.name.lower(), dict(trial.params),
                *(trial.user_attrs.get(key) for key in ("run", "accuracy", "connectivity", "why")),
            )
            for trial in study.get_trials(deepcopy=False)
        ]  # fmt: skip
        return sorted(found, key=lambda t: (t.state != "complete", -(t.accuracy or 0), t.number))

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Optuna neither logs, nor warns that what is used here is experimental."""
        log = self._optuna.logging
        before = log.get_verbosity()
        log.set_verbosity(log.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
                yield
        finally:
            log.set_verbosity(before)


def _disposed(storage: Any) -> None:
    if storage is not None:
        storage.remove_session()
        storage.engine.dispose()


def _hashed(text: str) -> str:
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()[:8]
