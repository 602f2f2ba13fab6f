# SPDX-License-Identifier: GPL-2.0-only
"""The whole instruction set: what must hold between all definitions."""

from __future__ import annotations

from tests.isa.harness import load_all, overlaps

from lpar.isa.registry import INSTRUCTIONS

load_all()

#: definitions for the SPR numbers and function codes that no other definition names, and for what ISA 3.0
#: made of reserved bits: glibc relies on mffsl being mffs to a POWER8
FALLBACKS = {"mfspr_other", "mtspr_other", "mffs", "no_such_function"}


def test_no_word_is_two_instructions() -> None:
    plain = [i for i in INSTRUCTIONS if i.prefix is None and i.body.__name__ not in FALLBACKS]
    assert overlaps(plain) == []
