# SPDX-License-Identifier: GPL-2.0-only
"""Executable memory for compiled regions, and the loader that puts object code there.

Objects are position independent and name no symbol outside themselves: they reach everything through the
state pointer.  So loading is laying out the sections and patching distances between them (relocate.py).
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import platform
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from lpar.cpu.relocate import PAGE, LoadError, Patch, machine_of, patches
from lpar.errors import HostError
from lpar.host.barrier import instructions_changed

SHF_ALLOC, SHT_RELA, SHT_SYMTAB, SHT_NOBITS = 2, 4, 2, 8
MAP_NORESERVE = 0x4000
SIZE = 192 << 20  #: bytes reserved; taken as used
#: images lie at multiples of this: a cache line; on arm64 what its relocations need
ALIGN = PAGE if platform.machine() == "aarch64" else 64


@dataclass(slots=True)
class Section:
    """A section header of an object file; ``place``: where the image has it."""

    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    place: int = -1


def read_sections(data: bytes) -> list[Section]:
    """The section headers of an object file."""
    shoff, entry, count = struct.unpack_from("<Q", data, 0x28)[0], *struct.unpack_from("<HH", data, 0x3A)
    out = []
    for i in range(count):
        _, kind, flags, _, offset, size, link, info, align, _ = struct.unpack_from(
            "<IIQQQQIIQQ", data, shoff + i * entry
        )
        out.append(Section(kind, flags, offset, size, link, info, align))
    return out


def lay_out(data: bytes) -> tuple[bytes, int]:
    """The object's image and the offset of its one function.  Raises LoadError."""
    sections = read_sections(data)
    kinds = patches(machine_of(data))
    image = bytearray()
    for s in sections:
        if s.flags & SHF_ALLOC and s.size and s.kind not in (SHT_RELA, SHT_NOBITS):
            image += bytes(-len(image) % max(s.align, 1))
            s.place = len(image)
            image += data[s.offset : s.offset + s.size]
    entry = -1
    for s in sections:
        if s.kind == SHT_RELA and sections[s.info].place >= 0:
            _relocate(data, sections, s, image, kinds)
        if s.kind == SHT_SYMTAB:
            entry = _function(data, sections, s)
    if entry < 0:
        raise LoadError("no function")
    return bytes(image), entry


def _symbol(data: bytes, table: Section, number: int) -> tuple[int, int, int]:
    _, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, table.offset + 24 * number)
    return info, section, value


def _function(data: bytes, sections: list[Section], table: Section) -> int:
    for number in range(table.size // 24):
        info, section, value = _symbol(data, table, number)
        if info & 15 == 2 and info >> 4 == 1:
            return sections[section].place + value
    return -1


def _relocate(
    data: bytes, sections: list[Section], rela: Section, image: bytearray, kinds: dict[int, Patch]
) -> None:
    target = sections[rela.info].place
    for at in range(rela.offset, rela.offset + rela.size, 24):
        offset, info, addend = struct.unpack_from("<QQq", data, at)
        kind = info & 0xFFFFFFFF
        _, section, value = _symbol(data, sections[rela.link], info >> 32)
        if kind not in kinds:
            raise LoadError(f"relocation type {kind}")
        if section == 0 or section >= len(sections) or sections[section].place < 0:
            raise LoadError("a symbol from outside")
        kinds[kind](image, target + offset, sections[section].place + value + addend)


@functools.cache
def _clear_cache() -> Callable[[ctypes.c_void_p, ctypes.c_void_p], None] | None:
    """GCC's function for hosts whose instruction caches do not see stores (arm64); None: this one's do."""
    if platform.machine() == "x86_64":
        return None
    try:
        found: Callable[[ctypes.c_void_p, ctypes.c_void_p], None] = getattr(
            ctypes.CDLL("libgcc_s.so.1"), "__clear_cache"
        )
    except (OSError, AttributeError) as error:
        raise HostError(f"cannot flush instruction caches: {error}", hint="install libgcc-s1") from error
    return found


def put_code(address: int, image: bytes | bytearray) -> None:
    """Copy machine code to where every thread may run it from now on."""
    ctypes.memmove(address, bytes(image), len(image))
    if (clear := _clear_cache()) is not None:
        clear(ctypes.c_void_p(address), ctypes.c_void_p(address + len(image)))
        instructions_changed()


def _roomy(libc: ctypes.CDLL) -> int:
    """An address with a GiB free on both sides, for what others must be near; 0: wherever the host likes."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    found = libc.mmap(None, 2 << 30, 0, flags, -1, 0)
    if found in (None, ctypes.c_void_p(-1).value):
        return 0
    libc.munmap(ctypes.c_void_p(found), ctypes.c_size_t(2 << 30))
    return int(found) + (1 << 30)


class Arena:
    """A stretch of executable memory within reach (2 GiB) of ``near`` (0: anywhere).  Raises OSError."""

    def __init__(self, near: int, size: int = SIZE) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        for distance in (256 << 20, -(512 << 20), 1 << 30, -(1 << 30)):
            hint = (near + distance) & ~0xFFFF if near else _roomy(libc)
            found = libc.mmap(hint, size, protection, flags, -1, 0)
            if found in (None, ctypes.c_void_p(-1).value):
                raise OSError(ctypes.get_errno(), "no executable memory")
            if not near or abs(found - near) < (2 << 30) - size:
                break
            libc.munmap(ctypes.c_void_p(found), ctypes.c_size_t(size))
        else:
            raise OSError(0, "no executable memory near the handlers")
        self.address, self.size = int(found), size
        self.used = self._users = 0
        self._free: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def add(self, image: bytes) -> int | None:
        """Copy an image in, from any thread; its address, or None when the arena is full."""
        address = self.take(len(image))
        if address is not None:
            put_code(address, image)
        return address

    def give_back(self, address: int, size: int) -> None:
        """What ``take`` gave, for who wants as much; its code runs no more."""
        with self._lock:
            self._free.append((size, address))

    def take(self, size: int) -> int | None:
        """Room for ``size`` bytes; its address, or None when the arena is full."""
        with self._lock:
            for room in self._free:
                if room[0] == size:
                    self._free.remove(room)
                    return room[1]
            start = (self.used + ALIGN - 1) & -ALIGN
            if start + size > self.size:
                return None
            self.used = start + size
        return self.address + start

    def enter(self) -> None:
        """An engine starts to use it: the first one finds it empty."""
        if not self._users:
            self.used = 0
        self._users += 1

    def leave(self) -> None:
        """An engine is done; its records lead here no more."""
        self._users -= 1

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + self.size
