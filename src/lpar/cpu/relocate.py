# SPDX-License-Identifier: GPL-2.0-only
"""Relocations of object files that are distances, for the hosts that we make code for: x86-64 and arm64.

An image whose parts reach each other by distance needs no relocation where it is loaded.  On arm64 that
holds for multiples of PAGE only: ``adrp`` counts in pages, and the instruction behind it adds what is below.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

PAGE = 4096
X86_64, AARCH64 = 62, 183  #: ELF's numbers of machines
MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}  #: by what uname(2) calls them

#: patches an image at an offset, so that what is there reaches another offset
Patch = Callable[[bytearray, int, int], None]


class LoadError(Exception):
    """An object file needs something that ours must not need."""


def machine_of(data: bytes) -> int:
    """The machine that an object file is for."""
    return int(struct.unpack_from("<H", data, 18)[0])


def patches(machine: int) -> dict[int, Patch]:
    """What each of a machine's relocation types does.  Raises LoadError."""
    if machine not in _PATCHES:
        raise LoadError(f"code of machine {machine}")
    return _PATCHES[machine]


def jump(machine: int) -> bytes:
    """A jump to the address that is behind it, 8 bytes from its beginning; it changes no argument."""
    return _JUMPS[machine]


def _distance(image: bytearray, where: int, target: int) -> None:
    struct.pack_into("<i", image, where, target - where)


def _set_bits(image: bytearray, where: int, bits: int) -> None:
    """Fill in an instruction's immediate, which is zero so far."""
    struct.pack_into("<I", image, where, struct.unpack_from("<I", image, where)[0] | bits)


def _branch(image: bytearray, where: int, target: int) -> None:
    """``b``, ``bl``: 26 bits, in words."""
    words, rest = divmod(target - where, 4)
    if rest or not -(1 << 25) <= words < 1 << 25:
        raise LoadError(f"a branch over {target - where} bytes")
    _set_bits(image, where, words & (1 << 26) - 1)


def _adr(image: bytearray, where: int, count: int) -> None:
    if not -(1 << 20) <= count < 1 << 20:
        raise LoadError(f"an address {count} away")
    _set_bits(image, where, (count & 3) << 29 | (count >> 2 & (1 << 19) - 1) << 5)


def _near(image: bytearray, where: int, target: int) -> None:
    """``adr``: 21 bits."""
    _adr(image, where, target - where)


def _page(image: bytearray, where: int, target: int) -> None:
    """``adrp``: 21 bits, in pages."""
    _adr(image, where, target // PAGE - where // PAGE)


def _low(scale: int) -> Patch:
    """The low 12 bits of an address, in units of an access: ``add``, ``ldr``, ``str``."""

    def patch(image: bytearray, where: int, target: int) -> None:
        low = target % PAGE
        if low & (1 << scale) - 1:
            raise LoadError("an address that is not aligned")
        _set_bits(image, where, low >> scale << 10)

    return patch


_PATCHES: dict[int, dict[int, Patch]] = {
    X86_64: {2: _distance, 4: _distance},  # PC32, PLT32
    AARCH64: {
        261: _distance,  # PREL32
        274: _near,  # ADR_PREL_LO21
        275: _page,  # ADR_PREL_PG_HI21
        277: _low(0),  # ADD_ABS_LO12_NC
        278: _low(0),  # LDST8_ABS_LO12_NC, and so on
        282: _branch,  # JUMP26
        283: _branch,  # CALL26
        284: _low(1),
        285: _low(2),
        286: _low(3),
        299: _low(4),
    },
}
_JUMPS = {
    X86_64: b"\xff\x25\x02\x00\x00\x00\x90\x90",  # jmp [rip + 2]
    AARCH64: struct.pack("<2I", 0x58000050, 0xD61F0200),  # ldr x16, .+8; br x16
}
