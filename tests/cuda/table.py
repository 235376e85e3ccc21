"""The table of what kernels take on a card:

    python -m tests.cuda.table > docs/cuda-kernels.md
"""

import os
import sys
from collections import defaultdict

# the checkout has a folder `snnr` that is not the whole package; the installed one is meant
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != os.getcwd()]

from .compile import TARGETS, Resources, assemble, find_ptxas, ptx  # noqa: E402
from .trained import launches  # noqa: E402

HEAD = """# What the kernels take on a card

Every kernel that a training of the paper's networks launches (mnist_fc at 128 images, csnn at 32,
cifar10_conv at 16), compiled by NVVM and ptxas 13.0 for compute capability 8.0 and 9.0 with the
types of the launch, on a machine without a card, by `python -m tests.cuda.table`. Registers are
those of a thread, shared memory is of a block. A kernel that is launched with several types has the
largest of each. None of them spills: `tests/cuda/test_launches.py` fails where one does.

| kernel | threads | registers, 8.0 | registers, 9.0 | shared bytes | spilled bytes |
| --- | --- | --- | --- | --- | --- |
"""


def rows() -> list[str]:
    """A line for every kernel, by name."""
    ptxas = find_ptxas()
    if ptxas is None:
        raise SystemExit("ptxas is not installed: pip install 'snnr[test]'")
    threads: dict[str, int] = defaultdict(int)
    taken: dict[tuple[str, int], list[Resources]] = defaultdict(list)
    for one in launches():
        name = one.kernel.name
        threads[name] = max(threads[name], one.threads)
        for i, target in enumerate(TARGETS):
            taken[name, i].append(assemble(ptx(one, target), target, ptxas))

    def most(name: str, field: str, *targets: int) -> int:
        return max(getattr(one, field) for i in targets for one in taken[name, i])

    return [
        f"| {name} | {threads[name]} | {most(name, 'registers', 0)} | "
        f"{most(name, 'registers', 1)} | {most(name, 'shared', 0, 1)} | "
        f"{most(name, 'spilled', 0, 1)} |"
        for name in sorted(threads)
    ]


if __name__ == "__main__":
    print(HEAD + "\n".join(rows()))
