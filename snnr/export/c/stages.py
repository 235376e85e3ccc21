"""C99 for the steps of a program: a function for each, and its tables."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.export.c.program import Pooled, Program, Step, Weighted

_WIDTH = 98


class Writer:
    """Lines of C, tables and how many bytes those take.

    prefix : of every name.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.tables: list[str] = []
        self.functions: list[str] = []
        self.bytes = 0

    def table(self, name: str, values: NDArray[Any], ctype: str = "") -> str:
        """A constant table; returns its name."""
        whole = values.dtype.kind in "iu"
        ctype = ctype or (f"{values.dtype}_t" if whole else "float")
        full = f"{self.prefix}_{name}"
        self.tables.append(constant(full, ctype, [number(v, ctype) for v in values.ravel()]))
        self.bytes += values.size * _width(ctype)
        return full

    def by_row(self, name: str, values: NDArray[Any], ctype: str) -> str:
        """Values of rows as an expression in `row`: a literal where all are the same."""
        if not values.size or (values == values[0]).all():
            return number(values[0] if values.size else 0, ctype)
        return f"{self.table(name, values, ctype)}[row]"


def number(value: Any, ctype: str) -> str:
    """A literal that is read as exactly this number."""
    if ctype == "float":
        text = str(np.float32(value))
        return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
    if ctype == "int32_t" and int(value) == -(2**31):
        return "(-2147483647 - 1)"
    return f"{int(value)}u" if ctype.startswith("u") else str(int(value))


def _width(ctype: str) -> int:
    return 4 if ctype == "float" else int(ctype.removesuffix("_t").removeprefix("u")[3:]) // 8


def constant(name: str, ctype: str, values: Sequence[str]) -> str:
    """The definition of a table; one that is empty gets an entry that nobody reads."""
    lines, line = [], "   "
    for value in values or ["0"]:
        if len(line) + len(value) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {value},"
    lines.append(line)
    body = "\n".join(lines).rstrip(",")
    return f"static const {ctype} {name}[{len(values) or 1}] = {{\n{body}\n}};"


def indented(lines: Sequence[str], by: int) -> list[str]:
    """Lines further to the right."""
    return [f"{'    ' * by}{line}" if line else line for line in lines]


def sum_type(program: Program) -> str:
    """C type of a sum of weights."""
    return "float" if program.quantize is None else "int32_t"


def counter(largest: int) -> str:
    """C type of a loop over 0..largest; never below 16 bits, whose arithmetic is the quicker."""
    return "uint16_t" if largest <= 65535 else "uint32_t"


def write_step(writer: Writer, program: Program, number_: int, step: Step) -> None:
    """Add the function ``<prefix>_step<number>(source, target)``."""
    if isinstance(step, Pooled):
        writer.functions.append("\n".join(_pool(writer, number_, step)))
        return
    if step.neuron is not None:
        writer.functions.append("\n".join(_neurons(writer, program, number_, step)))
    body = _linear if len(step.shape) == 2 else _conv
    writer.functions.append("\n".join(body(writer, program, number_, step)))


def _title(step: Step) -> str:
    shapes = ["x".join(map(str, values.shape)) for values in (step.source, step.target)]
    count = f", {len(step.weights):,} weights" if isinstance(step, Weighted) else ""
    return f"/* {', '.join(step.layers)}: {shapes[0]} to {shapes[1]}{count} */"


def _head(writer: Writer, number_: int, step: Step) -> list[str]:
    source, target = step.source.ctype, step.target.ctype
    return [
        _title(step),
        f"static void {writer.prefix}_step{number_}(const {source} *source, {target} *target)",
        "{",
    ]


def _neurons(writer: Writer, program: Program, number_: int, step: Weighted) -> Iterator[str]:
    """A function that runs a neuron of a row over time: from sums to the word of its spikes."""
    neuron, fixed, prefix = step.neuron, step.fixed, writer.prefix
    assert neuron is not None
    kind, word = sum_type(program), step.target.ctype
    current = "sums[0]" if step.source.steps == 1 else "sums[t]"
    scalars: Any
    if fixed is None:
        literal = {
            key: number(getattr(neuron, key), "float")
            for key in ("decay", "drive", "rest", "v_threshold", "v_reset")
        }
        threshold, reset = literal["v_threshold"], literal["v_reset"]
        if step.source.kind == "counts":
            current = f"({current} * {number(step.source.scale, 'float')})"
        if step.gain is not None:
            current = f"{writer.by_row(f'gain{number_}', step.gain, 'float')} * {current}"
        if step.offset is not None:
            current = f"({current} + {writer.by_row(f'offset{number_}', step.offset, 'float')})"
        charge = f"{literal['decay']} * v + {literal['drive']} * {current}"
        charge += f" + {literal['rest']}" if neuron.rest else ""
    else:
        scalars = [
            writer.by_row(f"{name}{number_}", getattr(fixed, name), "int32_t")
            for name in ("threshold", "reset", "offset")
        ]
        threshold, reset, offset = scalars
        above = "v" if reset == "0" else f"v - {reset}"
        shift = f"{fixed.leak_shift}"
        if fixed.leak == 0:
            leak = ""
        elif fixed.leak == 1:
            leak = f" - {prefix}_shift({above}, {shift})"
        else:
            leak = f" - (int32_t){prefix}_shift((int64_t)({above}) * {fixed.leak}, {shift})"
        scaled = current if fixed.fraction == 0 else f"{current} * {2**fixed.fraction}"
        charge = f"v{leak} + {scaled}" + ("" if offset == "0" else f" + {offset}")
    uses_row = "[row]" in f"{charge}{threshold}{reset}"
    yield f"static {word} {prefix}_fire{number_}(uint32_t row, const {kind} *sums)"
    yield "{"
    yield f"    {kind} v = {reset};"
    yield f"    {word} spikes = 0;"
    yield "    uint8_t t;"
    yield ""
    if not uses_row:
        yield "    (void)row;"
    yield f"    for (t = 0; t < {program.T}u; ++t) {{"
    yield f"        v = {charge};"
    yield f"        if (v >= {threshold}) {{"
    yield f"            spikes = ({word})(spikes | (({word})1 << t));"
    yield f"            v -= {threshold};" if neuron.soft else f"            v = {reset};"
    yield "        }"
    yield "    }"
    yield "    return spikes;"
    yield "}"


def _decode(step: Weighted, name: str) -> list[str]:
    """The next column."""
    if not step.columns.gaps:
        return [f"{name} = *index++;"]
    return [
        "do {",
        f"    {name} += *index;",
        f"}} while (*index++ == {step.columns.going_on}u);",
    ]


def _add(
    writer: Writer, program: Program, step: Weighted, sums: str, place: str, channel: str
) -> list[str]:
    """Add the connection's share, ``value`` times what lies at `place`, to each sum."""
    source, kind = step.source, sum_type(program)
    if source.kind == "pixels":
        argument = f"source[{place}]" + ("" if writer_channels(program) == 1 else f", {channel}")
        return [f"{sums}[0] += value * {writer.prefix}_pixel({argument});"]
    if source.kind == "spikes":
        return [
            f"for (word = source[{place}], t = 0; word != 0u; word >>= 1, ++t) {{",
            "    if ((word & 1u) != 0u) {",
            f"        {sums}[t] += value;",
            "    }",
            "}",
        ]
    if source.steps == 1:
        return [f"{sums}[0] += value * ({kind})source[{place}];"]
    return [
        f"for (t = 0; t < {source.steps}u; ++t) {{",
        f"    {sums}[t] += value * ({kind})source[{place} * {source.steps}u + t];",
        "}",
    ]


def writer_channels(program: Program) -> int:
    """Channels that are normalised each in its own way."""
    return program.source.image[0] if len(program.source.shape) == 3 else 1


def _finish(
    writer: Writer, step: Weighted, number_: int, row: str, sums: str, at: str
) -> list[str]:
    """From sums to the target's places."""
    if step.neuron is not None:
        return [f"target[{at}] = {writer.prefix}_fire{number_}({row}, {sums});"]
    steps = step.source.steps
    value = f"{sums}[t]"
    if step.source.kind == "counts":
        value += f" * {number(step.source.scale, 'float')}"
    if step.gain is not None:
        value = f"{writer.by_row(f'gain{number_}', step.gain, 'float')} * {value}"
    if step.offset is not None:
        value += f" + {writer.by_row(f'offset{number_}', step.offset, 'float')}"
    return [
        f"for (t = 0; t < {steps}u; ++t) {{", f"    target[({at}) * {steps}u + t] = {value};", "}",
    ]  # fmt: skip


def _tables(writer: Writer, number_: int, step: Weighted) -> tuple[str, str, str]:
    return (
        writer.table(f"weights{number_}", step.weights),
        writer.table(f"columns{number_}", step.columns.values),
        writer.table(f"counts{number_}", step.counts),
    )


def _declared(step: Weighted, weights: str, columns: str) -> list[str]:
    kind = "float" if step.weights.dtype == np.float32 else f"{step.weights.dtype}_t"
    lines = [
        f"    const {kind} *weight = {weights};",
        f"    const {step.columns.values.dtype}_t *index = {columns};",
        "    uint32_t row;",
    ]
    if step.source.kind == "spikes":
        lines.append(f"    {step.source.ctype} word;")
    if step.source.per_place > 1 or step.source.kind == "spikes" or step.neuron is None:
        lines.append("    uint8_t t;")
    return lines


def _linear(writer: Writer, program: Program, number_: int, step: Weighted) -> Iterator[str]:
    weights, columns, counts = _tables(writer, number_, step)
    rows, kind, steps = step.shape[0], sum_type(program), step.source.steps
    sums = f"{writer.prefix}_sums"
    _, height, width = step.source.image
    finish = _finish(writer, step, number_, "row", sums, "row")
    yield from _head(writer, number_, step)
    yield from _declared(step, weights, columns)
    yield ""
    yield f"    for (row = 0; row < {rows}u; ++row) {{"
    yield f"        {counter(step.shape[1])} left = {counts}[row];"
    yield "        uint32_t place = 0;"
    yield ""
    if steps == 1:
        yield f"        {sums}[0] = 0;"
    else:
        yield f"        for (t = 0; t < {steps}u; ++t) {{"
        yield f"            {sums}[t] = 0;"
        yield "        }"
    yield "        for (; left != 0u; --left) {"
    yield f"            const {kind} value = *weight++;"
    yield from indented(_decode(step, "place"), 3)
    channel = f"place / {height * width}u"
    yield from indented(_add(writer, program, step, sums, "place", channel), 3)
    yield "        }"
    yield from indented(finish, 2)
    yield "    }"
    yield "}"


def _conv(writer: Writer, program: Program, number_: int, step: Weighted) -> Iterator[str]:
    weights, columns, counts = _tables(writer, number_, step)
    rows, kind, steps = step.shape[0], sum_type(program), step.source.steps
    sums, taps = f"{writer.prefix}_sums", step.shape[2]
    _, height, width = step.source.image
    _, high, wide = step.target.image
    data = "float" if step.weights.dtype == np.float32 else f"{step.weights.dtype}_t"
    at = f"(row * {high}u + y) * {wide}u + x"
    each = f"{sums} + x * {steps}u"
    finish = _finish(writer, step, number_, "row", each, at)
    if step.neuron is None:
        finish = [line.replace(f"{each}[t]", f"{sums}[x * {steps}u + t]") for line in finish]
    yield from _head(writer, number_, step)
    yield from _declared(step, weights, columns)
    yield "    uint32_t x, y;"
    yield ""
    yield f"    for (row = 0; row < {rows}u; ++row) {{"
    yield f"        const {data} *const first = weight;"
    yield f"        const {step.columns.values.dtype}_t *const start = index;"
    yield ""
    yield f"        for (y = 0; y < {high}u; ++y) {{"
    yield f"            {counter(int(np.prod(step.shape[1:])))} left = {counts}[row];"
    yield "            uint32_t tap = 0;"
    yield ""
    yield f"            for (x = 0; x < {wide * steps}u; ++x) {{"
    yield f"                {sums}[x] = 0;"
    yield "            }"
    yield "            weight = first;"
    yield "            index = start;"
    yield "            for (; left != 0u; --left) {"
    yield f"                const {kind} value = *weight++;"
    yield f"                {kind} *sum = {sums};"
    yield "                uint32_t channel;"
    yield "                int32_t line, column;"
    yield ""
    yield from indented(_decode(step, "tap"), 4)
    yield f"                channel = tap / {taps * taps}u;"
    yield (f"                line = (int32_t)(y * {step.stride}u + tap / {taps}u % {taps}u) - "
           f"{step.padding};")  # fmt: skip
    yield f"                column = (int32_t)(tap % {taps}u) - {step.padding};"
    yield f"                if (line < 0 || line >= {height}) {{"
    yield "                    continue;"
    yield "                }"
    yield (f"                for (x = 0; x < {wide}u; ++x, column += {step.stride}, "
           f"sum += {steps}) {{")  # fmt: skip
    yield f"                    if (column >= 0 && column < {width}) {{"
    yield (f"                        const uint32_t place = (channel * {height}u + (uint32_t)line)"
           f" * {width}u + (uint32_t)column;")  # fmt: skip
    yield ""
    yield from indented(_add(writer, program, step, "sum", "place", "channel"), 6)
    yield "                    }"
    yield "                }"
    yield "            }"
    yield f"            for (x = 0; x < {wide}u; ++x) {{"
    yield from indented(finish, 4)
    yield "            }"
    yield "        }"
    yield "    }"
    yield "}"


def _pool(writer: Writer, number_: int, step: Pooled) -> Iterator[str]:
    source, target, pool = step.source, step.target, step.pool
    channels, height, width = source.image
    _, high, wide = target.image
    word = source.kind == "spikes"
    step_loop = not (word and target.kind == "spikes")
    read = f"source[((channel * {height}u + y * {pool.stride}u + i) * {width}u + " \
           f"x * {pool.stride}u + j)"  # fmt: skip
    if word:
        value = f"{read}]" if not step_loop else f"({read}] >> t) & 1u"
    else:
        value = f"{read} * {source.steps}u + t]"
    kind = target.ctype
    yield from _head(writer, number_, step)
    yield "    uint32_t channel, x, y, i, j;"
    if step_loop:
        yield "    uint8_t t;"
    yield ""
    yield f"    for (channel = 0; channel < {channels}u; ++channel) {{"
    yield f"        for (y = 0; y < {high}u; ++y) {{"
    yield f"            for (x = 0; x < {wide}u; ++x) {{"
    depth = 4
    if step_loop:
        yield f"                for (t = 0; t < {source.steps}u; ++t) {{"
        depth = 5
    zero = value.replace(" + i)", ")").replace(" + j", "")
    first = "0" if word or pool.kind == "avg" else zero
    inner = [
        f"{kind} found = {first};",
        "",
        f"for (i = 0; i < {pool.size}u; ++i) {{",
        f"    for (j = 0; j < {pool.size}u; ++j) {{",
        *indented(_combined(kind, value, word, step), 2),
        "    }",
        "}",
        _stored(step, step_loop, f"(channel * {high}u + y) * {wide}u + x"),
    ]
    yield from indented(inner, depth)
    if step_loop:
        yield "                }"
    yield "            }"
    yield "        }"
    yield "    }"
    yield "}"


def _combined(kind: str, value: str, word: bool, step: Pooled) -> list[str]:
    if step.pool.kind == "avg":
        return [f"found = ({kind})(found + ({value}));"]
    if word:
        return [f"found = ({kind})(found | {value});"]
    return [f"if ({value} > found) {{", f"    found = {value};", "}"]


def _stored(step: Pooled, step_loop: bool, at: str) -> str:
    value = "found"
    if step.pool.kind == "avg" and step.target.kind == "floats":
        value = f"found * {number(1 / step.pool.size**2, 'float')}"
    if step_loop:
        at = f"({at}) * {step.target.steps}u + t"
    return f"target[{at}] = {value};"
