# SPDX-License-Identifier: GPL-2.0-only
"""NVRAM: memory that survives a reboot of the guest, in the CHRP partition format.

Source: PAPR chapter 8 "Non-Volatile Memory" and 7.3.1 "nvram-fetch, nvram-store"; header
checksum as in Linux arch/powerpc/kernel/nvram_64.c.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Any

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, rtas

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition

NVRAM_SIZE = 64 * 1024  #: bytes, as the machine makes it
_SYSTEM = 0x70  #: signature of a system partition
_FREE = 0x7F
_SYSTEM_SIZE = 4096


def header(signature: int, size: int, name: bytes) -> bytes:
    """The 16-byte header of an NVRAM partition of ``size`` bytes (a multiple of 16)."""
    rest = struct.pack(">H12s", size // 16, name)
    checksum = signature
    for byte in rest:
        checksum += byte
        checksum = (checksum & 0xFF) + (checksum >> 8)  # end-around carry
    return bytes([signature, checksum]) + rest


class Nvram:
    """``size`` bytes (a multiple of 16, over 4 KiB), formatted: one system partition, the rest free."""

    def __init__(self, size: int = NVRAM_SIZE) -> None:
        self.lock = threading.Lock()
        self.data = bytearray(size)
        self.data[0:16] = header(_SYSTEM, _SYSTEM_SIZE, b"common")
        free = header(_FREE, size - _SYSTEM_SIZE, b"w" * 12)
        self.data[_SYSTEM_SIZE : _SYSTEM_SIZE + 16] = free

    def save(self) -> dict[str, Any]:
        """Plain data: the bytes."""
        with self.lock:
            return {"data": bytes(self.data)}

    def restore(self, data: dict[str, Any]) -> None:
        """Take the bytes back."""
        with self.lock:
            self.data[:] = data["data"]


@rtas("nvram-fetch", nargs=3, nret=2)
def rtas_nvram_fetch(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read NVRAM: (offset, buffer, length) gives the number of bytes."""
    offset, buffer, length = a
    if offset + length > len(p.nvram.data):
        return n.RTAS_PARAM_ERROR
    with p.nvram.lock:
        data = bytes(p.nvram.data[offset : offset + length])
    p.write_memory(buffer, data)
    return n.RTAS_SUCCESS, length


@rtas("nvram-store", nargs=3, nret=2)
def rtas_nvram_store(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Write NVRAM: (offset, buffer, length) gives the number of bytes."""
    offset, buffer, length = a
    if offset + length > len(p.nvram.data):
        return n.RTAS_PARAM_ERROR
    data = p.memory.read(buffer, length)
    with p.nvram.lock:
        p.nvram.data[offset : offset + length] = data
    return n.RTAS_SUCCESS, length
