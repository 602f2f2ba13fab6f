# SPDX-License-Identifier: GPL-2.0-only
"""Encodings of branches, fixed-point and storage instructions against binutils."""

from __future__ import annotations

import inspect

from tests.isa.harness import assemble, check_encodings, overlaps

from lpar.isa import (
    branch,
    condition,
    fixed_arithmetic,
    fixed_bits,
    fixed_compare,
    fixed_decimal,
    fixed_load,
    fixed_logical,
    fixed_multiply,
    fixed_rotate,
    fixed_store,
    fixed_string,
    spr_user,
    storage,
)
from lpar.isa.registry import INSTRUCTIONS

MODULES = {
    m.__name__
    for m in (
        branch,
        condition,
        fixed_arithmetic,
        fixed_bits,
        fixed_compare,
        fixed_decimal,
        fixed_load,
        fixed_logical,
        fixed_multiply,
        fixed_rotate,
        fixed_store,
        fixed_string,
        spr_user,
        storage,
    )
}
OURS = [i for i in INSTRUCTIONS if inspect.getmodule(i.body).__name__ in MODULES]


def test_binutils_agrees_on_every_encoding() -> None:
    # one CR field for mtocrf and mfocrf, no update of r0 or of the loaded register, no address twice
    picky = {
        "FXM": 0x10,
        "RT": 3,
        "RT_I": 12,
        "RA": 4,
        "RTe": 4,
        "RTo": 5,
        "RA0": 7,
        "RB": 8,
        "RT1": 4,
        "L3": 0,
        "BOC": 10,
    }
    check_encodings([i for i in OURS if i.name != "mftb"], given=picky)


def test_mftb() -> None:
    """POWER10's mnemonics have no mftb."""
    [word] = assemble([".machine ppc64", "mftb 3"])
    assert [i.name for i in OURS if i.matches(word)] == ["mftb"]


def test_no_word_is_two_instructions() -> None:
    assert overlaps(OURS) == []
