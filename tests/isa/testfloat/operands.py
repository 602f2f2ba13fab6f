# SPDX-License-Identifier: GPL-2.0-only
"""Operands as TestFloat's level 1 has them: every pair (or triple) of edge values, mixed with random ones.

A value is a row of two 64-bit words, low and high, whatever its format.  Level 1 takes each of 22 exponents
(the ends of the range, zero and the precision) with four fractions, both signs; for each pair of these it
adds five with random values in place of one or both operands, for each triple eight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any  #: of numpy; (n, 2) of uint64 for values


@dataclass(frozen=True, slots=True)
class Format:
    """A binary format: its widths, and the exponents (less the bias) at which conversions have edges."""

    name: str
    size: int
    fraction: int
    edges: tuple[int, ...]

    @property
    def bias(self) -> int:
        """Of the exponent."""
        return (1 << (self.size - self.fraction - 2)) - 1

    @property
    def inputs(self) -> list[int]:
        """Exponent fields of the pairs and triples."""
        precision, bias = self.fraction + 1, self.bias
        near = [bias + n for n in (-precision, -2, -1, 0, 1, 2, precision)]
        return [0, 1, *near, 2 * bias, 2 * bias + 1]

    @property
    def outputs(self) -> list[int]:
        """Exponent fields of single operands and of random values."""
        bias = self.bias
        near = {bias + n for n in (-4, -3, 3, 4, *self.edges) if 0 < bias + n < 2 * bias}
        return sorted({*self.inputs, 2, 2 * bias - 1, *near})


_INTEGERS = (29, 30, 31, 32, 61, 62, 63, 64)
_HALF, _SINGLE, _DOUBLE = (
    (-15, -14, 15, 16),
    (-129, -128, -127, -126, 127, 128, 129),
    (-1025, -1024, -1023, -1022, 1023, 1024, 1025),
)
F16 = Format("f16", 16, 10, _INTEGERS)
F32 = Format("f32", 32, 23, (*_INTEGERS, *_HALF))
F64 = Format("f64", 64, 52, (*_INTEGERS, *_HALF, *_SINGLE))
F128 = Format("f128", 128, 112, (*_INTEGERS, *_SINGLE, *_DOUBLE))


def rows(values: list[int]) -> Array:
    """Python integers as an array."""
    mask = (1 << 64) - 1
    return np.array([(v & mask, v >> 64) for v in values], dtype=np.uint64)


def plain_fractions(fmt: Format) -> list[int]:
    """Zero, the least, the greatest, and the one before it."""
    ones = (1 << fmt.fraction) - 1
    return [0, 1, ones, ones - 1]


def fractions(fmt: Format) -> list[int]:
    """One bit set, runs of ones at either end, one bit clear."""
    width, ones = fmt.fraction, (1 << fmt.fraction) - 1
    single = [1 << n for n in range(width)]
    return [0, *single, *(ones & -b for b in single), *(ones ^ b for b in single), *(b - 1 for b in single)]


def combined(fmt: Format, exponents: list[int], parts: list[int]) -> Array:
    """Every sign, exponent and fraction."""
    heads = [sign << fmt.size - 1 | e << fmt.fraction for sign in (0, 1) for e in exponents]
    return rows([head | part for head in heads for part in parts])


def randoms(fmt: Format, count: int, rng: np.random.Generator) -> Array:
    """Random values: near an edge or anywhere, with sparse or any fractions, in equal parts."""
    edges = np.array(fmt.outputs, dtype=np.uint64)
    anywhere = rng.integers(0, 2 * fmt.bias + 2, count, dtype=np.uint64)
    exponent = np.where(rng.random(count) < 0.5, rng.choice(edges, count), anywhere)
    sparse = rows(fractions(fmt))
    some = add(sparse[rng.integers(0, len(sparse), count)], sparse[rng.integers(0, len(sparse), count)])
    any_bits = rng.integers(0, 1 << 64, (count, 2), dtype=np.uint64, endpoint=False)
    fraction = np.where((rng.random(count) < 0.75)[:, None], some, any_bits)
    sign = rng.integers(0, 2, count, dtype=np.uint64)
    return with_head(fmt, fraction, sign << np.uint64(fmt.size - 1 - fmt.fraction) | exponent)


def add(a: Array, b: Array) -> Array:
    """The sum of two values as integers of 128 bits."""
    low = a[:, 0] + b[:, 0]
    return np.stack([low, a[:, 1] + b[:, 1] + (low < a[:, 0])], axis=1)


def with_head(fmt: Format, fraction: Array, head: Array) -> Array:
    """Values of a fraction (cut to its width) and what stands above it."""
    if fmt.fraction > 64:
        high = fraction[:, 1] & np.uint64((1 << fmt.fraction - 64) - 1)
        return np.stack([fraction[:, 0], high | head << np.uint64(fmt.fraction - 64)], axis=1)
    low = fraction[:, 0] & np.uint64((1 << fmt.fraction) - 1)
    return np.stack([low | head << np.uint64(fmt.fraction), np.zeros_like(low)], axis=1)


def level1(fmt: Format, count: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """All level-1 cases of an operation with ``count`` operands, one array for each operand."""
    if count == 1:
        edges = combined(fmt, fmt.outputs, plain_fractions(fmt))
        return (np.concatenate([edges, randoms(fmt, 2 * len(edges), rng)]),)
    edges = combined(fmt, fmt.inputs, plain_fractions(fmt))
    picks = np.meshgrid(*[np.arange(len(edges))] * count, indexing="ij")
    chosen = [edges[p.ravel()] for p in picks]
    blocks = []
    for which in range(1 << count):  # a set bit: this operand is random
        repeat = (
            1 + (which == (1 << count) - 1) * (count == 2) * 2 + (which == (1 << count) - 1) * (count == 3)
        )
        for _ in range(repeat):
            total = len(chosen[0])
            blocks.append([randoms(fmt, total, rng) if which >> n & 1 else c for n, c in enumerate(chosen)])
    return tuple(np.concatenate(column) for column in zip(*blocks, strict=True))


def integers(size: int, rng: np.random.Generator) -> Array:
    """Integers of 32 or 64 bits: one bit, runs of ones, sums of these, random."""
    ones = (1 << size) - 1
    single = [1 << n for n in range(size)]
    sparse = [0, *single, *(ones & -b for b in single), *(ones ^ b for b in single), *(b - 1 for b in single)]
    sums = [a + b & ones for a in sparse for b in sparse]
    some = rng.integers(0, 1 << 64, 20_000, dtype=np.uint64) >> rng.integers(0, 64, 20_000, dtype=np.uint64)
    return np.concatenate(
        [rows(sparse + sums), np.stack([some & np.uint64(ones), np.zeros_like(some)], axis=1)]
    )
