"""Which runs a sweep consists of: the product of its settings, each run with a name of its own."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnr.errors import ConfigError
from snnr.optim import METHODS
from snnr.training.settings import RunSettings, method_options, run_settings, takes

#: more runs than this are a mistake
MAX_RUNS = 10_000

#: settings that change where a run happens, and not what comes out
_PLACES = ("data_dir", "device", "threads", "recipe")
#: settings that older runs do not have
_LATER = ("limit_test", "moves")


@dataclass(frozen=True)
class Planned:
    """One run: the name of its folder, and its settings."""

    name: str
    settings: RunSettings

    @property
    def config(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return self.settings.as_config()


def plan(
    dataset: str,
    axes: Mapping[str, Sequence[Any]],
    recipe: str | None = None,
    **fixed: Any,
) -> list[Planned]:
    """The runs of a grid, seed by seed, so that a sweep that is cut short has all settings once.

    A method meets the values of the settings that it has; what it does not have is left out.

    Parameters
    ----------
    axes : setting -> its values; of a setting without a value the default is taken.
    fixed : settings of all runs, as for `snnr.training.run_settings`.

    Raises
    ------
    ConfigError : a setting is unknown, out of its bounds, or means nothing to any of the methods;
        or the grid is empty or too large.
    """
    given = {key: list(dict.fromkeys(values)) for key, values in axes.items() if len(values)}
    methods = given.pop("method", [RunSettings.method])
    for key in given:
        if key in method_options() and not any(takes(method, key) for method in methods):
            raise ConfigError(
                f"{key.replace('_', '-')} means nothing to {', '.join(methods)}; leave it out"
            )
    seeds = given.pop("seed", [0])
    count = len(seeds) * sum(_count(method, given) for method in methods)
    if count > MAX_RUNS:
        raise ConfigError(f"this makes {count:,} runs, at most {MAX_RUNS:,} are a sweep")
    runs: dict[str, Planned] = {}
    for seed in seeds:
        for chosen in _choices(methods, given):
            settings = run_settings(dataset, recipe, **{**fixed, **chosen, "seed": seed})
            runs.setdefault(name := run_name(settings.as_config()), Planned(name, settings))
    return list(runs.values())


def _of(method: str, given: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    options = method_options()
    return {k: v for k, v in given.items() if k not in options or takes(method, k)}


def _count(method: str, given: Mapping[str, Sequence[Any]]) -> int:
    count = 1
    for values in _of(method, given).values():
        count *= len(values)
    return count


def _choices(
    methods: Sequence[str], given: Mapping[str, Sequence[Any]]
) -> Iterator[dict[str, Any]]:
    for method in methods:
        mine = _of(method, given)
        for values in itertools.product(*mine.values()):
            yield {"method": method, **dict(zip(mine, values, strict=True))}


def run_name(config: Mapping[str, Any]) -> str:
    """Of a run's settings alone, so that every sweep finds it again: method, prior, what of the
    method is not the default, seed, and a digest of everything that shapes the result."""
    method = str(config["method"])
    defaults = METHODS[method].SETTINGS()
    told = []
    for key in method_options():
        value = config.get(key)
        if value is not None and (key == "prior" or value != getattr(defaults, key, None)):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            told.append(f"-{key.replace('_', '-')}{text}")
    return f"{method}{''.join(told)}-seed{config['seed']}-{digest(config)}"


def digest(config: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of the settings that shape a result."""
    return _hashed({k: v for k, v in config.items() if k not in _PLACES and _counts(k, v)})


def _counts(key: str, value: Any) -> bool:
    """Whether a setting is part of a name. One that came later is where it is set: the names of
    older runs stay."""
    return key not in _LATER or value is not None


def _hashed(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def default_folder(runs: Sequence[Planned]) -> Path:
    """sweeps/<data set>-<digest>: of what is not a matter of method and seed, so that a further
    prior, method or seed goes into the same folder."""
    free = {"method", "seed", *method_options(), *_PLACES}
    free |= {key for run in runs for key in run.settings.optimizer.as_dict()}
    works = {
        _hashed({k: v for k, v in run.config.items() if k not in free and _counts(k, v)})
        for run in runs
    }
    dataset = Path(runs[0].settings.dataset)
    return Path("sweeps") / f"{dataset.stem}-{_hashed(sorted(works))}"
