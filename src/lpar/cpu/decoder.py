# SPDX-License-Identifier: GPL-2.0-only
"""Instruction words to variants, in Python."""

from __future__ import annotations

from lpar.cpu.handlers import Variant, all_variants


class Decoder:
    """Words to variants, as the native decode table does it."""

    def __init__(self, isa: int) -> None:
        self._isa = isa
        self._by_opcode: dict[int, list[Variant]] = {}
        for v in sorted(all_variants(), key=lambda v: -v.mask.bit_count()):
            if v.isa <= isa:
                self._by_opcode.setdefault(self._key(v.value), []).append(v)
        self._seen: dict[int, Variant | None] = {}

    @staticmethod
    def _key(word: int) -> int:
        """The primary opcode, of a prefixed instruction that of the suffix and 64."""
        return word >> 26 & 63 | (64 if word >> 32 else 0)

    def __call__(self, word: int) -> Variant | None:
        if word not in self._seen:
            candidates = self._by_opcode.get(self._key(word), [])
            self._seen[word] = next((v for v in candidates if word & v.mask == v.value), None)
        return self._seen[word]
