"""The whole header: tables, steps, the functions that are called, golden vectors, a main."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ConfigError, ShapeError, printable
from snnr.export.c.emulate import FNV_FACTOR, FNV_START, emulate
from snnr.export.c.program import Program, Values, Weighted
from snnr.export.c.stages import Writer, constant, number, sum_type, write_step, writer_channels

#: words that are no names
_KEYWORDS = re.compile(
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|inline"
    "|int|long|register|restrict|return|short|signed|sizeof|static|struct|switch|typedef|union"
    "|unsigned|void|volatile|while"
)


@dataclass(frozen=True)
class Header:
    """A header of C99.

    text : its content.
    flash : bytes of its tables; code comes on top of them, about 1 to 3 kB.
    ram : bytes of its static buffers. The stack takes less than 300 bytes on top.
    """

    text: str
    flash: int
    ram: int


def header_of(program: Program, prefix: str, golden: NDArray[Any], about: str = "") -> Header:
    """The header of a program.

    Parameters
    ----------
    prefix : of every name in it, a C identifier.
    golden : images that it carries, with what it has to say of them.
    about : where the network comes from, for the comment at the top.

    Raises
    ------
    ConfigError : the prefix is no identifier.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", prefix) or _KEYWORDS.fullmatch(prefix):
        raise ConfigError(
            f"prefix (={prefix[:50]!r}) must be a C identifier, such as network: letters, digits "
            "and underscores, a letter first"
        )
    writer = Writer(prefix)
    for place, step in enumerate(program.steps):
        write_step(writer, program, place, step)
    if program.source.kind == "pixels":
        writer.functions.insert(0, _pixel(writer, program))
    if program.quantize is not None:
        writer.functions[:0] = _shifts(writer, program)
    ram, buffers = _buffers(writer, program)
    flash = writer.bytes
    checks = _golden(prefix, program, golden)
    head = _head(prefix, program, flash, ram, about)
    parts = [
        head, *writer.tables, buffers, _digest(prefix, program.T > 32), *writer.functions,
        _public(prefix, program), checks,
        f"#endif /* {prefix.upper()}_H */",
    ]  # fmt: skip
    return Header("\n\n".join(parts) + "\n", flash, ram)


def _head(prefix: str, program: Program, flash: int, ram: int, about: str) -> str:
    big = prefix.upper()
    source = program.source
    shape = "x".join(map(str, source.shape))
    weights = sum(len(step.weights) for step in program.steps if isinstance(step, Weighted))
    numbers = (
        "float32" if program.quantize is None else f"{program.quantize} weights, int32 potentials"
    )
    takes = "uint8 pixels, 0..255" if source.kind == "pixels" else "normalised floats"
    text = printable(about).replace("*/", "* /").replace("/*", "/ *")
    return f"""\
/* A sparse spiking neural network, written by snnr.{f" {text}" if text else ""}
 *
 * Input: {shape}, {takes}. T = {program.T}, {program.classes} classes.
 * {weights:,} connections, {numbers}.
 * {flash:,} bytes of constant tables, {ram:,} bytes of static buffers, no heap.
 *
 *     int32_t label = {prefix}_predict(image, {big}_INPUTS);
 *
 * {prefix}_predict        the class of an image; -1 where the length is wrong
 * {prefix}_predict_sums   sums over time, {big}_CLASSES of them; rate = sum * {big}_RATE
 *
 * The buffers are static: one call at a time, and one file that includes this header.
 * With {big}_GOLDEN defined, {prefix}_selftest() returns how many golden vectors fail;
 * with {big}_MAIN defined there is a main that says so. Compile without contraction of floating
 * point (-std=c99, or -ffp-contract=off) to get the same spikes everywhere.
 */
#ifndef {big}_H
#define {big}_H

#include <stdint.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#define {big}_INPUTS {source.size}
#define {big}_CLASSES {program.classes}
#define {big}_STEPS {program.T}
#define {big}_RATE {number(program.scale, "float")}
#define {big}_TABLE_BYTES {flash}
#define {big}_BUFFER_BYTES {ram}

#if defined({big}_MAIN) && !defined({big}_GOLDEN)
#define {big}_GOLDEN
#endif"""


def _pixel(writer: Writer, program: Program) -> str:
    """Normalisation of a pixel."""
    prefix, channels = writer.prefix, writer_channels(program)
    argument = "" if channels == 1 else ", uint32_t row"
    if program.pixels is None:
        normal = program.normalisation
        assert normal is not None
        mean, std = (writer.by_row(n, getattr(normal, n), "float") for n in ("mean", "std"))
        kind, body = "float", f"((float)pixel / 255.0f - {mean}) / {std}"
    else:
        scale = program.pixels
        factor = writer.by_row("pixel_factor", scale.factor, "int32_t")
        term = writer.by_row("pixel_term", scale.term, "int32_t")
        kind = "int32_t"
        body = f"{prefix}_shift((int32_t)pixel * {factor} + {term}, {scale.shift})"
    unused = "" if channels == 1 or "[row]" in body else "    (void)row;\n"
    return (
        f"/* The normalised value of a pixel. */\n"
        f"static {kind} {prefix}_pixel(uint8_t pixel{argument})\n{{\n"
        f"{unused}    return {body};\n}}"
    )


def _shifts(writer: Writer, program: Program) -> list[str]:
    """Division by a power of two, rounded down: C leaves >> of negative numbers open."""
    steps = [step for step in program.steps if isinstance(step, Weighted)]
    wide = any(step.fixed is not None and step.fixed.leak > 1 for step in steps)
    kind = "int64_t" if wide else "int32_t"
    return [
        f"/* value / 2^by, rounded down. */\n"
        f"static inline {kind} {writer.prefix}_shift({kind} value, uint8_t by)\n{{\n"
        "    return value >= 0 ? value >> by : ~(~value >> by);\n}"
    ]


def _buffers(writer: Writer, program: Program) -> tuple[int, str]:
    """Two buffers that take turns, and the sums of a place; returns their bytes too."""
    prefix = writer.prefix
    names = ("even", "odd")
    kinds: list[list[Values]] = [[], []]
    for place, step in enumerate(program.steps):
        kinds[place % 2].append(step.target)
    lines, ram = [], 0
    for name, values in zip(names, kinds, strict=True):
        if not values:
            continue
        elements: dict[str, int] = {}
        for each in values:
            elements[each.ctype] = max(elements.get(each.ctype, 0), each.size * each.per_place)
        inside = "".join(f"    {c} as_{c}[{n}];\n" for c, n in elements.items())
        lines.append(f"static union {{\n{inside}}} {prefix}_{name};")
        align = max(each.bytes // (each.size * each.per_place) for each in values)
        largest = max(each.bytes for each in values)
        ram += -(-largest // align) * align
    sums = max(_sums(step) for step in program.steps)
    if sums:
        lines.append(f"static {sum_type(program)} {prefix}_sums[{sums}];")
    lines.append(f"static {program.answer} {prefix}_answer[{program.classes}];")
    width = 4 if program.answer == "float" else int(program.answer[4:-2]) // 8
    return ram + 4 * sums + program.classes * width, "\n".join(lines)


def _sums(step: Any) -> int:
    """Sums that are made at a time: of a place, or of a line of places."""
    if not isinstance(step, Weighted):
        return 0
    return step.source.steps * (step.target.image[2] if len(step.shape) == 4 else 1)


def _public(prefix: str, program: Program) -> str:
    big, source, answer = prefix.upper(), program.source, program.answer
    calls, before, layer = [], "input", 0
    for place, step in enumerate(program.steps):
        name = f"{prefix}_{'even' if place % 2 == 0 else 'odd'}.as_{step.target.ctype}"
        calls.append(f"    {prefix}_step{place}({before}, {name});")
        if isinstance(step, Weighted) and step.neuron is not None:
            calls.append(f"    {big}_TRACE({layer}, {name}, {step.target.size}u);")
            layer += 1
        before = name
    out = program.output
    if out.kind == "spikes":
        collect = f"""\
            {out.ctype} word = {before}[row * {program.vote}u + vote];

            for (; word != 0u; word >>= 1) {{
                sums[row] = ({answer})(sums[row] + (word & 1u));
            }}"""
        variables = "vote"
    else:
        collect = f"""\
            for (t = 0; t < {out.steps}u; ++t) {{
                sums[row] = ({answer})(sums[row] + \
{before}[(row * {program.vote}u + vote) * {out.steps}u + t]);
            }}"""
        variables = "vote, t"
    body = "\n".join(calls)
    return f"""\
/* Sums of the outputs over time, {program.classes} of them; 0, or -1 where a length is wrong. */
static inline int32_t {prefix}_predict_sums(const {source.ctype} *input, int32_t length,
                                            {answer} *sums, int32_t sums_length)
{{
    uint32_t row, {variables};

    if (length != {big}_INPUTS || sums_length != {big}_CLASSES) {{
        return -1;
    }}
{body}
    for (row = 0; row < {program.classes}u; ++row) {{
        sums[row] = 0;
        for (vote = 0; vote < {program.vote}u; ++vote) {{
{collect}
        }}
    }}
    return 0;
}}

/* The class of an image, the first of the largest; -1 where the length is wrong. */
static inline int32_t {prefix}_predict(const {source.ctype} *input, int32_t length)
{{
    uint32_t row, best = 0;

    if ({prefix}_predict_sums(input, length, {prefix}_answer, {big}_CLASSES) != 0) {{
        return -1;
    }}
    for (row = 1; row < {program.classes}u; ++row) {{
        if ({prefix}_answer[row] > {prefix}_answer[best]) {{
            best = row;
        }}
    }}
    return (int32_t)best;
}}"""


def _golden(prefix: str, program: Program, images: NDArray[Any]) -> str:
    big, source, answer = prefix.upper(), program.source, program.answer
    found = emulate(program, images)
    count = len(images)
    inputs = constant(f"{prefix}_golden_inputs", source.ctype,
                      [number(v, source.ctype) for v in images.ravel()])  # fmt: skip
    outputs = constant(f"{prefix}_golden_sums", answer,
                       [number(v, answer) for v in found.outputs.ravel()])  # fmt: skip
    digests = constant(f"{prefix}_golden_spikes", "uint32_t", [f"{d}u" for d in found.digests()])
    return f"""\
#ifdef {big}_GOLDEN
/* Images, what comes out, and a digest (FNV-1a) of the spikes of all neurons at all times. */
{inputs}

{outputs}

{digests}

/* How many of the {count} golden vectors come out otherwise. */
static inline int32_t {prefix}_selftest(void)
{{
    int32_t failed = 0, image;
    uint32_t row;

    for (image = 0; image < {count}; ++image) {{
        const int32_t first = image * {big}_CLASSES;
        uint8_t same;

        {prefix}_spikes = {FNV_START}u;
        {prefix}_predict_sums({prefix}_golden_inputs + image * {big}_INPUTS, {big}_INPUTS,
            {prefix}_answer, {big}_CLASSES);
        same = {prefix}_spikes == {prefix}_golden_spikes[image];
        for (row = 0; row < {program.classes}u; ++row) {{
            same = same && {prefix}_answer[row] == {prefix}_golden_sums[first + row];
        }}
        failed += !same;
    }}
    return failed;
}}
#endif

#ifdef {big}_MAIN
#include <stdio.h>

int main(void)
{{
    const int32_t failed = {prefix}_selftest();

    printf("%ld of {count} golden vectors differ\\n", (long)failed);
    return failed != 0;
}}
#endif"""


def _digest(prefix: str, wide: bool) -> str:
    """The digest of spikes, between the buffers and the steps."""
    big = prefix.upper()
    high = f"        {prefix}_digest_word((uint32_t)((uint64_t)(words)[place] >> 32)); \\\n"
    return f"""\
#ifdef {big}_GOLDEN
static uint32_t {prefix}_spikes;

static void {prefix}_digest_word(uint32_t word)
{{
    {prefix}_spikes = ({prefix}_spikes ^ word) * {FNV_FACTOR}u;
}}

#define {big}_TRACE(layer, words, count) do {{ \\
    uint32_t place; \\
    for (place = 0; place < (count); ++place) {{ \\
        {prefix}_digest_word((uint32_t)(words)[place]); \\
{high if wide else ""}    }} \\
}} while (0)
#endif

#ifndef {big}_TRACE
#define {big}_TRACE(layer, words, count) ((void)0)
#endif"""


def fitting(program: Program, images: NDArray[Any]) -> NDArray[Any]:
    """Images ``[N, ...]`` of the shape and dtype that a program takes.

    Raises
    ------
    ShapeError : they are others.
    """
    shape = program.source.shape
    kind = np.dtype(np.uint8 if program.source.kind == "pixels" else np.float32)
    if images.shape[1:] != shape or images.dtype != kind:
        raise ShapeError(
            f"images is {images.dtype} {list(images.shape)}, expected {kind} [N, "
            f"{', '.join(map(str, shape))}]"
        )
    return images


def golden_images(program: Program, images: NDArray[Any] | None, count: int) -> NDArray[Any]:
    """Images to carry along: the first of those given, or noise."""
    source = program.source
    if images is not None and len(images):
        chosen = fitting(program, images)[:count]
    else:
        rng = np.random.default_rng(0)
        shape = (count, *source.shape)
        chosen = rng.integers(0, 256, shape) if source.kind == "pixels" else rng.normal(size=shape)
    return chosen.astype(np.uint8 if source.kind == "pixels" else np.float32)
