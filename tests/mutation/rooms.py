"""Which tests know a room: its mutants are tried with those. Left out are tests that start
processes, which know nothing of a mutant, and tests of kernels."""

from pathlib import Path

#: group -> what is changed, files and folders of snnr; and what it is tried with, of tests
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "training": (
        ("training", "input", "interrupt.py", "wording.py"),
        ("training", "input", "defects/test_settings.py", "cli/test_progress.py"),
    ),
    "optim": (
        ("optim",),
        ("optim", "test_optim.py", "defects/test_optimizers.py", "defects/test_settings.py"),
    ),
    "layers": (
        ("functional", "nn", "tensor", "models", "layout.py", "surrogate.py", "gradient_check.py",
         "activity.py", "metrics.py", "__init__.py", "errors.py"),
        ("test_functional.py", "test_nn.py", "test_stages.py", "test_tensor.py", "test_layout.py",
         "test_surrogate.py", "test_gradcheck.py", "test_gradcheck_operations.py", "test_models.py",
         "test_networks.py", "test_metrics.py", "cli/test_net_spec.py", "defects/test_dtypes.py",
         "defects/test_edges.py", "defects/test_gradients.py", "defects/test_names.py",
         "defects/test_nested.py", "defects/test_observers.py", "defects/test_own_layer.py",
         "training/test_evaluation.py"),
    ),
    "files": (
        ("checkpoint", "hdf5", "budget.py", "lock.py"),
        ("test_checkpoint.py", "test_checkpoint_damage.py", "test_checkpoint_file.py",
         "test_checkpoint_promises.py", "test_checkpoint_states.py", "test_hdf5_chunks.py",
         "test_hdf5_heaps.py", "test_lock.py",
         "data/test_arrays.py", "data/test_load.py", "defects/test_settings.py",
         "training/test_resume.py"),
    ),
    "compiled": (
        ("sparse", "export"),
        ("sparse/test_engine.py", "sparse/test_form.py", "sparse/test_specs.py",
         "export/test_c.py", "export/test_incoming.py", "export/test_nir.py",
         "export/test_npz.py"),
    ),
    "sweeps": (
        ("sweep", "figures", "report", "__main__.py"),
        ("sweep/test_plan.py", "sweep/test_search.py", "sweep/test_sweep.py", "figures",
         "report", "cli/test_confusion.py", "cli/test_plot.py", "cli/test_report.py",
         "cli/test_search.py", "cli/test_sweep.py"),
    ),
}  # fmt: skip


def files(root: Path) -> list[str]:
    """Files of snnr without kernels, relative to the checkout."""
    names = (path.relative_to(root).as_posix() for path in sorted((root / "snnr").rglob("*.py")))
    return [name for name in names if "/kernels/" not in name]


def group(path: str) -> str:
    """The group of a file of snnr.

    Raises
    ------
    LookupError : it is in none.
    """
    for name, (places, _) in GROUPS.items():
        if any(f"{path}/".startswith(f"snnr/{place}/") for place in places):
            return name
    raise LookupError(f"{path} is in no group of tests/mutation/rooms.py")
