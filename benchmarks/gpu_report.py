"""The report of `gpu.py`, from what it found: plain functions of the JSON file's content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpu_parts import ABSENT, DONE, FAILED, LATE
from report import number

Content = Mapping[str, Any]

STRICT = ("eager", "compile", "graph")
FASTER_THAN_SPIKINGJELLY = 5.0
REPLAY_US = 10.0
BANDWIDTH = 0.8
AS_FAST, AIM = 1.0, 2.0


def table(head: Iterable[str], rows: Iterable[Iterable[str]], left: int = 1) -> list[str]:
    """A Markdown table; the first columns to the left, the others to the right."""
    head = list(head)
    lines = [head, ["---"] * left + ["---:"] * (len(head) - left), *map(list, rows)]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def results(content: Content, name: str) -> Mapping[str, Any]:
    """What a part measured; empty where it did not."""
    found: Mapping[str, Any] = content["parts"].get(name, {}).get("results", {})
    return found


def steps(content: Content, name: str) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """(work, what it is, contenders) of a part that measured training steps."""
    works = results(content, name).get(name, {}).get("works", {})
    return [
        (work, told["work"], told["contenders"])
        for work, told in works.items()
        if "contenders" in told
    ]


def ratio(content: Content, part: str, peers: Iterable[str], suffix: str = "") -> float | None:
    """Time of the fastest of these peers over snnr's; None where either is missing or wrong."""
    for _, _, contenders in steps(content, part):
        ours = contenders.get("snnr" + suffix)
        found = [contenders[name + suffix] for name in peers if name + suffix in contenders]
        right = [one["median_ms"] for one in found if not one["wrong"]]
        if ours and right and not ours["wrong"]:
            return float(min(right) / ours["median_ms"])
    return None


def share(content: Content, part: str) -> float | None:
    """What snnr's LIF reaches of a copy's rate, "forward" or "both"."""
    told = results(content, "lif").get("lif", {})
    mine = told.get("contenders", {}).get("snnr", {})
    if part not in mine or not told.get("copy_bytes_per_second"):
        return None
    return float(mine[part]["bytes_per_second"] / told["copy_bytes_per_second"])


def replay(content: Content) -> float | None:
    """Microseconds of the host for the replay of mnist_fc's step."""
    works = results(content, "launches").get("launches", {}).get("works", {})
    value = works.get("mnist_fc", {}).get("replay_us")
    return None if value is None else float(value)


def aims(content: Content) -> list[tuple[str, str, str, bool | None]]:
    """(aim, wanted, found, met); met is None where it was not measured."""
    rows: list[tuple[str, str, str, bool | None]] = []

    def add(aim: str, wanted: str, value: float | None, text: str, met: bool) -> None:
        rows.append((aim, wanted, "-" if value is None else text, None if value is None else met))

    value = ratio(content, "mnist_fc", ["spikingjelly"])
    add("mnist_fc step, SpikingJelly / snnr, float32", f"{FASTER_THAN_SPIKINGJELLY:g}x", value,
        f"{value or 0:.2f}x", (value or 0) >= FASTER_THAN_SPIKINGJELLY)  # fmt: skip
    value = replay(content)
    add("host time to replay mnist_fc's step", f"{REPLAY_US:g} us", value,
        f"{number(value or 0)} us", (value or 0) <= REPLAY_US)  # fmt: skip
    for part, words in (("forward", "forward"), ("both", "forward and backward")):
        value = share(content, part)
        add(f"LIF, {words}: share of a copy's rate", f"{100 * BANDWIDTH:.0f} %", value,
            f"{100 * (value or 0):.0f} %", (value or 0) >= BANDWIDTH)  # fmt: skip
    for part in ("cifar10_conv-16", "cifar10_conv-64"):
        value = ratio(content, part, STRICT)
        title = f"{part.replace('-', ', batch ')}: fastest PyTorch / snnr, float32"
        for wanted in (AS_FAST, AIM):
            add(title, f"{wanted:g}x", value, f"{value or 0:.2f}x", (value or 0) >= wanted)
    return rows


def gib(size: float) -> str:
    """Bytes as GiB."""
    return f"{size / 2**30:.2f}"


def of_steps(content: Content, part: str) -> list[str]:
    """Tables of training steps."""
    lines: list[str] = []
    for work, what, contenders in steps(content, part):
        lines += [f"### {work}, batch {what['batch']}, T={what['timesteps']}", ""]
        rows = []
        for name, one in contenders.items():
            once = one.get("ratio_to_snnr")
            waited = one.get("waited", one)["median_ms"]
            rows.append(
                [
                    name.removesuffix(" tf32"),
                    {"tf32": "TF32"}.get(one["products"], one["products"]),
                    number(one["median_ms"]),
                    f"{number(one['p10_ms'])}-{number(one['p90_ms'])}",
                    number(waited),
                    f"{once:.2f}x" if once else "-",
                    gib(one["peak_bytes"]),
                    gib(one.get("reserved_bytes", one["peak_bytes"])),
                    "NO" if one["wrong"] else one["agrees"],
                ]
            )
        lines += table(
            ["contender", "products", "ms a step", "p10-p90", "each waited for", "time / snnr",
             "peak GiB", "reserved GiB", "agrees"], rows,
        )  # fmt: skip
        lines.append("")
        notes = {one["notes"]: name for name, one in contenders.items()}
        lines += [f"- {name.removesuffix(' tf32')}: {note}" for note, name in notes.items()]
        told = results(content, part)[part]["works"][work]
        lines += [f"- {note}" for note in told["notes"]]
        lines.append("")
    return lines


def of_lif(content: Content) -> list[str]:
    """The table of LIF alone."""
    told = results(content, "lif").get("lif")
    if not told:
        return []
    rows = []
    for name, one in told["contenders"].items():
        if "forward" not in one:
            continue
        row = [name]
        for part in ("forward", "both"):
            rate = one[part]["bytes_per_second"]
            row += [number(one[part]["median_ms"])]
            row += [f"{100 * rate / told['copy_bytes_per_second']:.0f} %"]
        rows.append([*row, gib(one["peak_bytes"]), "NO" if one["wrong"] else "yes"])
    head = ["contender", "forward ms", "of a copy", "with backward ms", "of a copy", "peak GiB"]
    what = f"{told['neurons']} neurons, {told['steps']} steps, batch {told['batch']}"
    rate = told["copy_bytes_per_second"] / 1e9
    left = [
        f"- {name}: {one.get('left_out') or one.get('failed')}"
        for name, one in told["contenders"].items()
        if "forward" not in one
    ]
    notes = [f"- {name}: {one['notes']}" for name, one in told["contenders"].items()
             if "notes" in one]  # fmt: skip
    return [
        "## LIF alone", "", f"{what}; a copy moves {rate:.0f} GB/s (read and written).", "",
        *table([*head, "agrees"], rows), "", *notes, *left, "",
    ]  # fmt: skip


def of_launches(content: Content) -> list[str]:
    """What a step costs the host, and its launches."""
    told = results(content, "launches").get("launches")
    if not told:
        return []
    lines = ["## Host time and launches", ""]
    for work, one in told["works"].items():
        again = one.get("replay_us")
        lines.append(
            f"{work}: {number(one['host_us'])} us of the host a step"
            + (f", {number(again)} us of them the replay" if again is not None else "")
            + f"; {number(one['step_us'])} us until the device is done."
        )
        if "kernels" in one:
            kernels = [
                [k["kernel"], str(k["launches"]), number(k["microseconds"] or 0.0)]
                for k in one["kernels"]
            ]
            lines += ["", f"{one['launches']} launches when it is not recorded:", ""]
            lines += [*table(["kernel", "launches", "us"], kernels), ""]
    return [*lines, ""]


def of_training(content: Content) -> list[str]:
    """Trainings on the card and on the CPU."""
    lines: list[str] = []
    found = results(content, "training")
    rows = [
        [where, *(f"{100 * row['test_accuracy']:.2f} %" for row in found[key]["epochs"]),
         f"{100 * found[key]['epochs'][-1]['connectivity']:.1f} %",
         number(found[key]["median_seconds"])]
        for key, where in (("card", "card"), ("cpu", "CPU")) if key in found
    ]  # fmt: skip
    if rows:
        epochs = [f"epoch {n}" for n in range(1, len(rows[0]) - 2)]
        lines += ["## mnist_fc with augmentation, same seed", ""]
        lines += [*table(["where", *epochs, "connectivity", "seconds an epoch"], rows), ""]
    cifar = results(content, "cifar10").get("cifar10")
    if cifar:
        command = content["parts"]["cifar10"]["commands"][0]
        lines += [
            "## CIFAR-10", "",
            f"Accuracy {100 * cifar['accuracy']:.2f} % at {100 * cifar['connectivity']:.1f} % "
            f"connectivity after {command['seconds']:.0f} s.", "", f"`{command['command']}`", "",
        ]  # fmt: skip
    return lines


def of_failures(content: Content) -> list[str]:
    """What went wrong, with the end of its log."""
    lines: list[str] = []
    for name, part in content["parts"].items():
        if part["state"] not in (FAILED, LATE):
            continue
        lines += [f"### {name}", "", *(f"- {problem}" for problem in part["problems"]), ""]
        if part.get("log"):
            lines += ["```text", part["log"].replace("```", "'''").rstrip(), "```", ""]
    return ["## Failures", "", *lines] if lines else []


def about(content: Content) -> list[str]:
    """The card, the machine and the versions."""
    card, clocks, host = content["card"], content["clocks"], content["machine"]
    versions = {**card.get("versions", {})}
    commits = sorted({part["commit"] for part in content["parts"].values() if part.get("commit")})
    cards = sorted({part["card"] for part in content["parts"].values() if part.get("card")})
    rows = [
        ["card", ", ".join(cards) or card.get("name", "none")],
        ["compute capability", card.get("compute_capability", "-")],
        ["driver", f"{clocks.get('driver_version', '-')}, CUDA {card.get('driver_cuda', '-')}"],
        ["clocks at the start", ", ".join(f"{key} {value}" for key, value in clocks.items()
                                          if key.startswith("clocks")) or "-"],
        ["host", f"{host['cpu']}, {host['cores_used']} cores, {host['system']}"],
        ["snnr's side", ", ".join(f"{key} {value}" for key, value in versions.items()) or "-"],
        ["peers", ", ".join(f"{key} {value}" for key, value in content["peers"].items()) or "-"],
        ["commit", ", ".join(commits) or "-"],
        ["command", f"`{content['command']}`"],
    ]  # fmt: skip
    return table(["what", "which"], rows, left=2)


def build(content: Content) -> str:
    """The report, in Markdown."""
    rehearsal = content["rehearsal"]
    parts = content["parts"]
    rows = [
        [name, part["title"], part["state"], f"{part['seconds']:.0f}", part.get("when", "-"),
         part.get("clocks_after", {}).get("clocks.sm", "-")]
        for name, part in parts.items()
    ]  # fmt: skip
    met = {True: "yes", False: "no", None: "not measured"}
    lines = [
        "# A rehearsal on the CPU: no figure means anything" if rehearsal else "# On a card",
        "",
        "Written by `python benchmarks/gpu.py`; benchmarks/README.md says how it is done and kept "
        "fair.",
        "", *about(content), "",
        "## What was run", "",
        *table(["part", "what", "state", "seconds", "when", "SM clock after"], rows, left=3), "",
    ]  # fmt: skip
    lines += [f"- {name}: {problem}" for name, part in parts.items() if part["state"] == ABSENT
              for problem in part["problems"]]  # fmt: skip
    if not rehearsal:
        found = [[aim, wanted, text, met[good]] for aim, wanted, text, good in aims(content)]
        lines += ["", "## Aims", "", *table(["aim", "wanted", "found", "met"], found), ""]
    lines += of_failures(content)
    measured = [name for name in parts if steps(content, name)]
    if measured:
        lines += [
            "## Training steps", "",
            "A turn of many steps is waited for once and divided by its steps; beside it, steps "
            "that are each waited for.", "",
        ]  # fmt: skip
        for name in measured:
            lines += of_steps(content, name)
    lines += [*of_lif(content), *of_launches(content), *of_training(content)]
    lines += ["## Commands", ""]
    for name, part in parts.items():
        for command in part.get("commands", []):
            lines.append(f"- {name} ({command['seconds']:.0f} s): `{command['command']}`")
    wrong = [name for name, part in parts.items() if part["state"] not in (DONE, ABSENT)]
    lines += ["", f"Not done: {', '.join(wrong)}." if wrong else "Everything is done and right."]
    return "\n".join(lines) + "\n"
