# SPDX-License-Identifier: GPL-2.0-only
"""Sizes as people write them: ``512`` (MiB when bare), ``64K``, ``1.5G``, ``2GiB``, ``4096B``."""

from __future__ import annotations

import re
from fractions import Fraction

from lpar.errors import ConfigError

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40
PIB = 1 << 50

_FACTORS = {"B": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB, "P": PIB}
_SIZE = re.compile(r"(0x[0-9a-f]+|\d+(?:\.\d+)?)\s*(?:([kmgtp])(?:i?b)?|(b))?", re.IGNORECASE)
_HINT = "a number with K, M, G, T or P behind it; a bare number is in MiB, e.g. 512, 1.5G, 64K"


def parse_size(text: str, *, what: str = "size", bare: int = MIB) -> int:
    """Read a size in bytes; all suffixes are powers of 1024, a bare number counts in ``bare`` bytes.

    Raises ConfigError, which names ``what``.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{what}: {text!r} is not a size", hint=_HINT)
    digits, letter, byte = match.groups()
    factor = _FACTORS[(letter or byte).upper()] if letter or byte else bare
    size = (int(digits, 16) if digits[:2] in ("0x", "0X") else Fraction(digits)) * factor
    if size != int(size):
        raise ConfigError(f"{what}: {text!r} is not a whole number of bytes", hint=_HINT)
    return int(size)


def format_size(size: int) -> str:
    """Write a size in bytes so that ``parse_size`` reads the same number: ``1G``, ``1536M``, ``100B``."""
    for letter in "PTGMK":
        if size and size % _FACTORS[letter] == 0:
            return f"{size // _FACTORS[letter]}{letter}"
    return f"{size}B"


def human_size(size: int) -> str:
    """Write a size for people, rounded: ``46.1 MiB``, ``17 bytes``."""
    for letter in "PTGMK":
        if size >= _FACTORS[letter]:
            return f"{size / _FACTORS[letter]:.1f} {letter}iB"
    return f"{size} bytes"
