# SPDX-License-Identifier: GPL-2.0-only
"""Hashed page table translation (Power ISA 3.0B Book III, 5.7.6 to 5.7.9), native."""

from __future__ import annotations

from typing import Any

from lpar.isa.routine import routine


@routine(args=(64,), returns=(64, 64))
def hash_load(cpu: Any, ea: Any) -> Any:
    """Hash translation for a load."""
    from lpar.cpu.native_mmu import segment_fault

    segment_fault(cpu, 0, ea)
    return cpu.const(0), cpu.const(0)


HASH = (hash_load, hash_load, hash_load)
