# SPDX-License-Identifier: GPL-2.0-only
"""Sizes in and out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpar.errors import ConfigError
from lpar.units import GIB, KIB, MIB, PIB, TIB, format_size, human_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512 * MIB),
        ("1G", GIB),
        ("1g", GIB),
        ("64k", 64 * KIB),
        ("2GiB", 2 * GIB),
        ("2GB", 2 * GIB),
        ("1.5G", 3 * GIB // 2),
        ("0.5", MIB // 2),
        ("3T", 3 * TIB),
        ("1P", PIB),
        ("4096B", 4096),
        ("0x10", 16 * MIB),
        (" 7 M ", 7 * MIB),
        ("0", 0),
    ],
)
def test_parse(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "-1G", "1X", "1G2", "1.G", "1e3", "0.3B", "1.0000001K", "--", "1 G 2"]
)
def test_refuse(text: str) -> None:
    with pytest.raises(ConfigError) as info:
        parse_size(text, what="-m")
    assert info.value.message.startswith("-m: ") and info.value.hint


def test_bare() -> None:
    assert parse_size("5", bare=1) == 5


@given(st.integers(0, 1 << 60))
def test_round_trip(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever it is, it is a size or a ConfigError."""
    try:
        assert parse_size(text) >= 0
    except ConfigError:
        pass


def test_human() -> None:
    assert human_size(17) == "17 bytes"
    assert human_size(46 * MIB + MIB // 8) == "46.1 MiB"
