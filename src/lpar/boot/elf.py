# SPDX-License-Identifier: GPL-2.0-only
"""ELF headers, as far as loading a kernel needs them: a few hundred bytes of a 46 MB file.

System V ABI, "Object Files"; 64-bit PowerPC ELF ABI Supplement for the machine and flags.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from lpar.boot.blob import Blob, SliceBlob
from lpar.errors import ConfigError

MAGIC = b"\x7fELF"
ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_PPC, EM_PPC64 = 20, 21
PT_LOAD = 1
PF_X = 1
SHT_NOBITS = 8
EF_PPC64_ABI = 3  #: mask in e_flags: 2 is ELFv2, 1 and 0 are ELFv1

MACHINES = {
    2: "SPARC",
    3: "x86",
    8: "MIPS",
    20: "32-bit PowerPC",
    21: "PPC64",
    22: "s390x",
    40: "Arm",
    43: "SPARC",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}


class ProgramHeader(NamedTuple):
    """One Elf64_Phdr or Elf32_Phdr, in the order of the 64-bit one."""

    p_type: int
    p_flags: int
    p_offset: int
    p_vaddr: int
    p_paddr: int
    p_filesz: int
    p_memsz: int
    p_align: int


class SectionHeader(NamedTuple):
    """One Elf64_Shdr or Elf32_Shdr."""

    sh_name: int
    sh_type: int
    sh_flags: int
    sh_addr: int
    sh_offset: int
    sh_size: int
    sh_link: int
    sh_info: int
    sh_addralign: int
    sh_entsize: int


@dataclass(frozen=True, slots=True)
class Elf:
    """An ELF file: header fields under their ELF names."""

    blob: Blob
    bits: int
    big_endian: bool
    e_type: int
    e_machine: int
    e_entry: int
    e_flags: int
    e_shoff: int
    e_shentsize: int
    e_shnum: int
    e_shstrndx: int
    program_headers: tuple[ProgramHeader, ...]

    @property
    def machine(self) -> str:
        """The machine's name for messages."""
        return MACHINES.get(self.e_machine, f"machine {self.e_machine}")

    def section(self, name: str) -> Blob | None:
        """The content of a section; None if there is none, or if the section table is damaged."""
        for header, found in self._sections():
            inside = header.sh_offset + header.sh_size <= self.blob.size
            if found == name.encode() and inside and header.sh_type != SHT_NOBITS:
                return SliceBlob(f"{self.blob.name} ({name})", self.blob, header.sh_offset, header.sh_size)
        return None

    def _sections(self) -> list[tuple[SectionHeader, bytes]]:
        layout = _struct(self.big_endian, "2I4Q2I2Q" if self.bits == 64 else "10I")
        if self.e_shentsize != layout.size or self.e_shstrndx >= self.e_shnum:
            return []
        table = self.blob.read(self.e_shoff, layout.size * self.e_shnum)
        if len(table) < layout.size * self.e_shnum:
            return []
        headers = [SectionHeader(*fields) for fields in layout.iter_unpack(table)]
        strings = headers[self.e_shstrndx]
        names = memoryview(self.blob.read(strings.sh_offset, min(strings.sh_size, 1 << 20)))
        return [(header, bytes(names[header.sh_name :][:64]).partition(b"\0")[0]) for header in headers]


def read_elf(blob: Blob) -> Elf:
    """The headers of ``blob``, which begins with ELF's magic.  Raises ConfigError if damaged."""
    ident = blob.read(0, 16)
    if len(ident) < 16 or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise damaged(blob, "bad identification")
    bits, big_endian = 32 * ident[4], ident[5] == 2
    layout = _struct(big_endian, "2HI3QI6H" if bits == 64 else "2H5I6H")
    raw = blob.read(16, layout.size)
    if len(raw) < layout.size:
        raise damaged(blob, "the file header is cut off")
    fields = layout.unpack(raw)
    e_type, e_machine, _, e_entry, e_phoff, e_shoff, e_flags, _, e_phentsize, e_phnum = fields[:10]
    e_shentsize, e_shnum, e_shstrndx = fields[10:]
    return Elf(
        blob=blob,
        bits=bits,
        big_endian=big_endian,
        e_type=e_type,
        e_machine=e_machine,
        e_entry=e_entry,
        e_flags=e_flags,
        e_shoff=e_shoff,
        e_shentsize=e_shentsize,
        e_shnum=e_shnum,
        e_shstrndx=e_shstrndx,
        program_headers=_program_headers(blob, bits, big_endian, (e_phoff, e_phentsize, e_phnum)),
    )


def _program_headers(
    blob: Blob, bits: int, big_endian: bool, table: tuple[int, int, int]
) -> tuple[ProgramHeader, ...]:
    offset, entry_size, count = table
    layout = _struct(big_endian, "2I6Q" if bits == 64 else "8I")
    if count and entry_size != layout.size:
        raise damaged(blob, f"program headers of {entry_size} bytes")
    raw = blob.read(offset, layout.size * count)
    if len(raw) < layout.size * count:
        raise damaged(blob, "the program headers lie outside the file")
    return tuple(_program_header(fields, bits) for fields in layout.iter_unpack(raw))


def _program_header(fields: tuple[int, ...], bits: int) -> ProgramHeader:
    if bits == 64:
        return ProgramHeader(*fields)
    p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags, p_align = fields
    return ProgramHeader(p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align)


def damaged(blob: Blob, why: str) -> ConfigError:
    """The error for an ELF file that contradicts itself."""
    return ConfigError(f"{blob.name} is a damaged ELF file: {why}", hint="fetch or build the file again")


def _struct(big_endian: bool, fields: str) -> struct.Struct:
    return struct.Struct((">" if big_endian else "<") + fields)
