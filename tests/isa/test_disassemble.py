# SPDX-License-Identifier: GPL-2.0-only
"""Words shown as instructions."""

from __future__ import annotations

import pytest

from lpar.isa.disassemble import disassemble


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((0x60000000,), "ori RS=0, RA=0, UI=0"),
        ((0x38210070,), "addi RT=1, RA0=1, SI=112"),
        ((0x7C632215,), "add. RT=3, RA=3, RB=4"),
        ((0x00000000,), ".long 0x00000000"),
        ((0x06000000, 0x38600001), "paddi"),
    ],
)
def test_words(words: tuple[int, ...], text: str) -> None:
    assert disassemble(*words).startswith(text)
