"""Every public name is what it is: the first time, the second time, and by `from snnr import`."""

import importlib
import re
import subprocess
import sys
import textwrap

import pytest


def fresh(code: str) -> None:
    """Run code in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


EACH = """
import snnr
names = {names}
wrong = []
first = {{}}
for name in names:
    first[name] = getattr(snnr, name)
    again = getattr(snnr, name)
    space = {{}}
    exec(f"from snnr import {{name}} as found", space)
    if not (first[name] is again is space["found"]):
        wrong.append(name)
wrong += [name for name in names if getattr(snnr, name) is not first[name]]
assert not wrong, f"not the same the second time: {{sorted(set(wrong))}}"
"""


@pytest.mark.parametrize(
    "names", ["snnr.__all__", "snnr.__all__[::-1]"], ids=["in order", "in reverse"]
)
def test_every_name_is_the_same_twice(names: str) -> None:
    fresh(EACH.format(names=names))


def test_every_name_can_be_imported_at_once_and_is_listed() -> None:
    fresh("""
        from snnr import *
        import snnr
        assert set(snnr.__all__) <= set(dir(snnr))
        for name in snnr.__all__:
            assert globals()[name] is getattr(snnr, name), name
    """)


def test_the_gradient_check_can_be_called_twice() -> None:
    fresh("""
        import numpy as np
        import snnr
        from snnr import functional as F
        x = np.random.default_rng(0).normal(size=(2, 3))
        for _ in range(2):
            assert snnr.gradcheck(lambda t: F.multiply(t[0], t[0]), [x]) < 1e-6
        from snnr import gradcheck
        assert gradcheck is snnr.gradcheck
        gradcheck(lambda t: F.multiply(t[0], t[0]), [x])
    """)


def test_from_snnr_import_gradcheck_comes_first() -> None:
    fresh("""
        from snnr import gradcheck
        assert callable(gradcheck), gradcheck
    """)


def test_importing_any_module_first_changes_no_name() -> None:
    """A submodule that is imported becomes an attribute of the package, whatever had that name."""
    fresh("""
        import importlib
        import inspect
        import pkgutil
        import snnr
        for module in list(pkgutil.walk_packages(snnr.__path__, "snnr.")):
            if not module.name.startswith("snnr.kernels.cuda") and "__main__" not in module.name:
                importlib.import_module(module.name)
        modules = {name for name in snnr.__all__ if inspect.ismodule(getattr(snnr, name))}
        assert modules == set(snnr._MODULES), modules
        assert callable(snnr.gradcheck)
    """)


def test_a_name_that_is_not_there_says_so() -> None:
    fresh("""
        import snnr
        try:
            snnr.nonsense
        except AttributeError as error:
            assert "nonsense" in str(error)
        else:
            raise SystemExit("snnr.nonsense exists")
        try:
            from snnr import nonsense
        except ImportError:
            pass
        else:
            raise SystemExit("snnr.nonsense can be imported")
    """)


def test_what_people_use_is_at_the_top() -> None:
    fresh("""
        import snnr
        for name in ("Function", "Callback", "Dataset", "Images", "Events", "Source", "Samples"):
            assert name in snnr.__all__, name
            assert isinstance(getattr(snnr, name), type), name
        assert snnr.Dataset is snnr.data.Dataset
        assert snnr.Images is snnr.input.Images
        assert snnr.Callback is snnr.training.Callback
    """)


def test_what_is_listed_is_what_is_public() -> None:
    """Modules that others import do not come into the list, nor what the package is made with."""
    fresh("""
        import snnr
        def listed():
            return [name for name in dir(snnr) if not name.startswith("__")]
        assert listed() == sorted(snnr.__all__) == snnr.__all__
        assert snnr.Trainer and snnr.compile
        import snnr.kernels
        assert listed() == snnr.__all__
    """)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("snnr.Trainr", "did you mean Trainer"), ("snnr.tensor_", "did you mean Tensor"),
        ("snnr.nn.Conv2D", "did you mean Conv2d?"), ("snnr.optim.Gradr", "did you mean GradR?"),
        ("snnr.functional.relu", "neurons are the nonlinearity"), ("snnr.nn.ReLU", "LIF"),
        ("snnr.nn.Module", "here it is Layer"), ("snnr.optim.SGD", "Adam"),
        ("snnr.models.mnist_cf", "did you mean mnist_fc"), ("snnr.surrogate.Atan", "mean ATan?"),
        ("snnr.data.laod", "did you mean load?"), ("snnr.training.evalute", "mean evaluate"),
        ("snnr.zeros", "np.zeros"), ("snnr.nn.Softplusss", "'Softplusss'$"),
    ],
)  # fmt: skip
def test_near_misses_are_suggested(name: str, told: str) -> None:
    *path, last = name.split(".")
    module = importlib.import_module(".".join(path))
    assert not hasattr(module, last)
    with pytest.raises(AttributeError, match=f"has no attribute '{last}'") as caught:
        getattr(module, last)
    assert re.search(told, str(caught.value))


def test_a_name_of_another_module_is_found() -> None:
    importlib.import_module("snnr.nn")
    with pytest.raises(AttributeError, match=r"here it is snnr\.nn\.LIF$"):
        _ = importlib.import_module("snnr").LIF


def test_what_people_are_told_is_there() -> None:
    """A suggestion that starts with a name of snnr names one that exists."""
    for module in ("snnr", "snnr.nn", "snnr.optim", "snnr.functional"):
        found = importlib.import_module(module)
        for told in found._ELSEWHERE.values():
            first = re.match(r"(?:snnr\.)?[\w.]+", told)
            if first is None or (first[0].islower() and not first[0].startswith("snnr.")):
                continue
            owner: object = importlib.import_module("snnr" if "snnr." in first[0] else module)
            for part in first[0].removeprefix("snnr.").split("."):
                owner = getattr(owner, part)
