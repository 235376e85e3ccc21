"""Every public name is what it is: the first time, the second time, and by `from snnr import`."""

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
        assert modules == {
            "data", "functional", "metrics", "models", "nn", "optim", "surrogate"
        } & set(snnr.__all__), modules
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
