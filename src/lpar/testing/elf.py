# SPDX-License-Identifier: GPL-2.0-only
"""Builds ELF files for tests: small kernels, foreign ones, wrappers, and broken ones on purpose.

>>> from lpar.testing.elf import elf
>>> elf(b"\\x60\\0\\0\\0")[:6]
b'\\x7fELF\\x02\\x02'
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
EM_386, EM_PPC, EM_PPC64, EM_X86_64 = 3, 20, 21, 62
PT_LOAD = 1
PF_RWX = 7
PF_RW = 6
SHT_PROGBITS, SHT_STRTAB = 1, 3


@dataclass(frozen=True, slots=True)
class Load:
    """A PT_LOAD segment.  ``paddr`` is ``vaddr`` if not given, ``memsz`` the length of ``data``."""

    data: bytes
    vaddr: int = 0
    paddr: int | None = None
    memsz: int | None = None
    flags: int = PF_RWX
    p_type: int = PT_LOAD


@dataclass(frozen=True, slots=True)
class ElfFile:
    """What to build; ``entry`` is a virtual address.  ``sections`` lie in the file, in no segment."""

    loads: Sequence[Load] = ()
    entry: int = 0
    bits: int = 64
    big_endian: bool = True
    machine: int = EM_PPC64
    e_type: int = ET_EXEC
    flags: int = 0
    sections: Mapping[str, bytes] = field(default_factory=dict)

    def build(self) -> bytes:
        """The file: header, program headers, data, section headers."""
        loads = [replace(load, paddr=load.vaddr if load.paddr is None else load.paddr) for load in self.loads]
        header_size, entry_size = (64, 56) if self.bits == 64 else (52, 32)
        body = bytearray()
        start = header_size + entry_size * len(loads)
        table = bytearray()
        for load in loads:
            table += self._program_header(load, start + len(body))
            body += load.data
        section_table, count = self._section_table(body, start)
        header = self._header(header_size, entry_size, start + len(body), count)
        return header + bytes(table) + bytes(body) + section_table

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack((">" if self.big_endian else "<") + layout, *values)

    def _header(self, header_size: int, entry_size: int, shoff: int, shnum: int) -> bytes:
        ident = b"\x7fELF" + bytes([self.bits // 32, 2 if self.big_endian else 1, 1]) + bytes(9)
        word = "Q" if self.bits == 64 else "I"
        return ident + self._pack(
            f"2HI3{word}I6H",
            self.e_type,
            self.machine,
            1,
            self.entry,
            header_size if self.loads else 0,
            shoff if shnum else 0,
            self.flags,
            header_size,
            entry_size if self.loads else 0,
            len(self.loads),
            (64 if self.bits == 64 else 40) if shnum else 0,
            shnum,
            max(0, shnum - 1),
        )

    def _program_header(self, load: Load, offset: int) -> bytes:
        memsz = len(load.data) if load.memsz is None else load.memsz
        addresses = (load.vaddr, load.paddr or 0)
        if self.bits == 64:
            return self._pack("2I6Q", load.p_type, load.flags, offset, *addresses, len(load.data), memsz, 4)
        return self._pack("8I", load.p_type, offset, *addresses, len(load.data), memsz, load.flags, 4)

    def _section_table(self, body: bytearray, start: int) -> tuple[bytes, int]:
        """Section headers (the null one first, names last); their content is appended to ``body``."""
        if not self.sections:
            return b"", 0
        names = bytearray(b"\0")
        table = bytearray(self._section(0, 0, 0, 0))
        for name, data in [*self.sections.items(), (".shstrtab", b"")]:
            at = len(names)
            names += name.encode() + b"\0"
            content, kind = (bytes(names), SHT_STRTAB) if name == ".shstrtab" else (data, SHT_PROGBITS)
            table += self._section(at, kind, start + len(body), len(content))
            body += content
        return bytes(table), len(self.sections) + 2

    def _section(self, name: int, kind: int, offset: int, size: int) -> bytes:
        layout = "2I4Q2I2Q" if self.bits == 64 else "10I"
        return self._pack(layout, name, kind, 0, 0, offset, size, 0, 0, 1, 0)


def elf(code: bytes, address: int = 0, **changes: object) -> bytes:
    """An ELF file of one segment at ``address``, entered at its start; ``changes`` as in ElfFile."""
    entry = changes.pop("entry", address)
    return replace(ElfFile([Load(code, address)], entry=entry), **changes).build()  # type: ignore[arg-type]


def zimage(kernel: bytes, initrd: bytes | None = None, *, bits: int = 32, big_endian: bool = True) -> bytes:
    """A wrapper as arch/powerpc/boot links it: some code, and the kernel in a section of its own."""
    sections = {".kernel:vmlinux.strip": kernel}
    if initrd is not None:
        sections[".kernel:initrd"] = initrd
    return ElfFile(
        [Load(b"\x48\0\0\0" * 4, 0x4000000)],
        entry=0x4000000,
        bits=bits,
        big_endian=big_endian,
        machine=EM_PPC if bits == 32 else EM_PPC64,
        sections=sections,
    ).build()
