# SPDX-License-Identifier: GPL-2.0-only
"""``ibm,pa-features``: what a processor of an ISA level offers, bit by bit.

The property is a list of attribute descriptors; ours has one.  Its first byte counts the bytes
that follow the two-byte header, the second is the attribute specifier (0), and then come the
bits, numbered from the left within each byte (PAPR, properties of the CPU node).
The kernel reads bits of it to correct what it took from its table of processor versions: 22.0
turns transactional memory on or off, 40.0 the radix MMU (Linux, arch/powerpc/kernel/prom.c).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Bits every model here has: the 2.06 and 2.07 levels without SAO (byte 4), which needs strong
#: ordering that no accelerator promises.
BASE: Mapping[str, tuple[int, int]] = {
    "mmu": (0, 0),
    "fpu": (0, 1),
    "slb": (0, 2),
    "run": (0, 3),
    "dabr": (0, 5),
    "no-execute": (0, 6),
    "ci-large-pages": (1, 2),
    "frin-family": (1, 3),
    "dabrx": (1, 4),
    "user-sprg3": (1, 5),
    "slb-size-0": (1, 6),
    "pp-110": (1, 7),
    "virtual-page-class-keys": (2, 0),
    "ds-2.05": (2, 1),
    "ppr": (2, 5),
    "ds-2.02": (2, 6),
    "ds-2.06": (2, 7),
    "lsd-in-dscr": (3, 0),
    "urg-in-dscr": (3, 1),
    "little-endian": (5, 0),
    "cfar": (5, 1),
    "event-based-branch": (5, 2),
    "load-store-quad": (5, 3),
    "ds-2.07": (6, 0),
    "vector": (16, 0),
    "vector-scalar": (18, 0),
    "vector-xor": (20, 0),
}

#: What ISA 3.0 adds.  Left out, since no accelerator has them: transactional memory (22.0), the
#: memory-mapped registers of MMR (30.0), SPR stop override (36.0), copy/paste (38.0).
ISA_3_0: Mapping[str, tuple[int, int]] = {
    "extended-decrementer": (24, 0),
    "64-bit-features": (26, 0),
    "performance-monitor": (28, 0),
    "little-endian-atomics": (32, 0),
    "event-based-branch-2": (34, 0),
    "event-based-branch-external": (34, 1),
    "radix": (40, 0),
    "performance-monitor-3.0": (42, 0),
    "pc-relative-addpcis": (44, 0),
    "system-call-vectored": (46, 0),
    "simd-3.0": (48, 0),
    "quad-precision-fp": (50, 0),
    "string": (52, 0),
    "decimal-fp": (54, 0),
    "decimal-integer": (56, 0),
    "sha": (58, 0),
    "new-memory-atomics": (60, 0),
    "random-number": (62, 0),
}

#: Length in bytes of the bit field by ISA level, as PAPR counts it.
LENGTH: Mapping[str, int] = {"2.07": 24, "3.0": 66, "3.1": 66}


def features(isa: str) -> dict[str, tuple[int, int]]:
    """Name -> (byte, bit) of all features of an ISA level.  Raises KeyError for others."""
    return dict(BASE) if LENGTH[isa] == 24 else {**BASE, **ISA_3_0}


def encode(isa: str, without: Iterable[str] = ()) -> bytes:
    """The property's value for an ISA level (``2.07``, ``3.0``, ``3.1``), less some features.

    Raises KeyError for an unknown level or an unknown feature name.
    """
    have = features(isa)
    for name in without:
        del have[name]
    bits = bytearray(LENGTH[isa])
    for byte, bit in have.values():
        bits[byte] |= 0x80 >> bit
    return bytes((len(bits), 0)) + bytes(bits)
