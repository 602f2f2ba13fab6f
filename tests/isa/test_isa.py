# SPDX-License-Identifier: GPL-2.0-only
"""The whole instruction set: what must hold between all definitions."""

from __future__ import annotations

from lpar.isa.registry import INSTRUCTIONS
from tests.isa.harness import load_all, overlaps

load_all()

#: a definition for the SPR numbers that no other definition names
FALLBACKS = {"mfspr_other", "mtspr_other"}


def test_no_word_is_two_instructions() -> None:
    plain = [i for i in INSTRUCTIONS if i.prefix is None and i.body.__name__ not in FALLBACKS]
    assert overlaps(plain) == []
