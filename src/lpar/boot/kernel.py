# SPDX-License-Identifier: GPL-2.0-only
"""What kind of kernel a file is, and which bytes of it go where in guest memory.

Known kinds, each possibly inside the next:

* ELF64 for PPC64 of either byte order: ET_EXEC at its physical addresses, ET_DYN at 4 MiB;
* zImage, the wrapper of Linux's arch/powerpc/boot (32-bit or 64-bit ELF), which carries the
  kernel in section ``.kernel:vmlinux.strip`` and perhaps an initrd in ``.kernel:initrd``; the
  wrapper itself needs Open Firmware and is not run, its content is unpacked here;
* compressed with gzip, xz, lzma, bzip2 or zstd;
* flat binary, loaded at 0 and entered there (kvm__arch_load_kernel_image of kvmtool).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

from lpar.boot.blob import Blob, BytesBlob, SliceBlob, open_blob
from lpar.boot.compressed import FORMATS, decompressed, find_format
from lpar.boot.elf import (
    EF_PPC64_ABI,
    EM_PPC,
    EM_PPC64,
    ET_DYN,
    ET_EXEC,
    ET_REL,
    MAGIC,
    PF_X,
    PT_LOAD,
    Elf,
    ProgramHeader,
    damaged,
    read_elf,
)
from lpar.errors import ConfigError

ET_DYN_ADDRESS = 4 << 20  #: where position-independent kernels go, as QEMU and zImage's linking have it
FLAT_BSS = 16 << 20  #: bytes kept free behind a flat kernel, whose BSS nobody declares
KERNEL_SECTION, INITRD_SECTION = ".kernel:vmlinux.strip", ".kernel:initrd"

_LINEAR_MAP = 0xC << 60  # PAGE_OFFSET: some linkers put it in p_paddr, too
_NESTING = 4  # a compressed zImage with a compressed kernel needs 3
_WRAPPED = ("gzip", "xz", "zstd")  # what a wrapper may carry; other magics are too short to search for
_STREAM = re.compile(b"|".join(re.escape(known.magic) for known in FORMATS if known.name in _WRAPPED))


@dataclass(frozen=True, slots=True)
class Segment:
    """``memory_size`` bytes of guest memory at guest-physical ``address``, the first ``file_size`` of
    them from ``offset`` of the kernel's blob, the others zero."""

    address: int
    memory_size: int
    offset: int
    file_size: int

    @property
    def end(self) -> int:
        return self.address + self.memory_size


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A kernel ready to be loaded: ``kind`` for people, everything else in guest-physical terms.

    ``relocatable`` images (ET_DYN) may move themselves, ``toc`` is what r2 has to be (0 mostly),
    ``bss`` bytes behind the end that the kernel is thought to use although its file does not say so,
    ``initrd`` the one that came inside the kernel file.
    """

    kind: str
    blob: Blob
    segments: tuple[Segment, ...]
    entry: int
    relocatable: bool = False
    toc: int = 0
    bss: int = 0
    initrd: Blob | None = None

    @property
    def start(self) -> int:
        """Lowest guest-physical address in use."""
        return min(segment.address for segment in self.segments)

    @property
    def end(self) -> int:
        """First guest-physical address behind the kernel, its declared BSS included."""
        return max(segment.end for segment in self.segments)


def open_kernel(path: Path) -> KernelImage:
    """Recognise the kernel at ``path``.  Raises ConfigError if it is none that can run here."""
    return _recognise(open_blob("kernel", path), _NESTING)


def _recognise(blob: Blob, depth: int) -> KernelImage:
    head = blob.read(0, 1024)
    if not depth:
        raise ConfigError(f"{blob.name} is compressed over and over", hint="give the kernel itself")
    if head.startswith(MAGIC):
        return _from_elf(read_elf(blob), depth)
    if known := find_format(head):
        kernel = _recognise(decompressed(blob, known), depth - 1)
        return replace(kernel, kind=f"{known.name}-compressed {kernel.kind}")
    return _flat(blob, head)


def _flat(blob: Blob, head: bytes) -> KernelImage:
    if foreign := _foreign(head):
        raise ConfigError(f"{blob.name} is {foreign[0]}, not a PPC64 kernel", hint=foreign[1])
    return KernelImage("flat binary", blob, (Segment(0, blob.size, 0, blob.size),), entry=0, bss=FLAT_BSS)


_TEXT = bytes({*range(0x20, 0x7F), *b"\t\n\r\f"})


def _foreign(head: bytes) -> tuple[str, str] | None:
    """What a file without ELF header is if it is no flat kernel: (what, hint)."""
    build = "give a vmlinux or zImage built for powerpc64"
    if head[0x202:0x206] == b"HdrS":
        return "an x86 kernel (bzImage)", build
    if head.startswith(b"MZ"):
        return "an EFI program, perhaps of another machine", build
    if head.startswith((b"070701", b"070702", b"070707")):
        return "an initrd (cpio archive)", "give it with -i, and the kernel with -k"
    if head.startswith(b"\xd0\x0d\xfe\xed"):
        return "a device tree blob", build
    if len(head) < 4 or not any(head[:4]):
        return "no code (its first instruction is empty)", build
    if not head.translate(None, _TEXT):
        return "a text file", build
    return None


def _from_elf(elf: Elf, depth: int) -> KernelImage:
    if elf.e_machine not in (EM_PPC, EM_PPC64):
        raise ConfigError(
            f"{elf.blob.name} is for {elf.machine}, not for PPC64", hint="give a kernel built for powerpc64"
        )
    if inner := _wrapped(elf):
        kernel = _recognise(inner, depth - 1)
        attached = elf.section(INITRD_SECTION)
        initrd = attached if attached and attached.size else None
        return replace(kernel, kind=f"zImage with {kernel.kind}", initrd=initrd)
    if elf.bits != 64 or elf.e_machine != EM_PPC64:
        raise ConfigError(
            f"{elf.blob.name} is a 32-bit PowerPC file, not a PPC64 kernel",
            hint="give a kernel built for powerpc64 (64-bit)",
        )
    if elf.e_type not in (ET_EXEC, ET_DYN):
        what = "an object file or module" if elf.e_type == ET_REL else f"an ELF file of type {elf.e_type}"
        raise ConfigError(f"{elf.blob.name} is {what}, not a kernel", hint="give a linked vmlinux")
    return _from_elf64(elf)


def _wrapped(elf: Elf) -> Blob | None:
    """The kernel inside a zImage: its section, or, in a stripped 32-bit wrapper, the compressed stream."""
    if section := elf.section(KERNEL_SECTION):
        return section
    if elf.bits == 64 or elf.blob.size > 256 << 20:
        return None
    content = elf.blob.read(0, elf.blob.size)
    for match in islice(_STREAM.finditer(content), 64):
        if _holds_kernel(content, match.start()):
            at = match.start()
            return SliceBlob(f"{elf.blob.name} (at {at:#x})", elf.blob, at, elf.blob.size - at)
    return None


def _holds_kernel(content: bytes, at: int) -> bool:
    """Whether the compressed stream at ``at`` begins with the header of an ELF64 file."""
    head = BytesBlob("stream", content[at : at + 65536])
    known = find_format(head.read(0, 16))
    if known is None or known.decompress is None:
        return False
    try:
        start, _ = known.decompress(head.read(0, head.size), 64)
    except Exception:  # whatever a decompressor finds wrong: these bytes are no stream
        return False
    return start.startswith(MAGIC + b"\x02")


def _from_elf64(elf: Elf) -> KernelImage:
    loads = [header for header in elf.program_headers if header.p_type == PT_LOAD and header.p_memsz]
    if not loads:
        raise damaged(elf.blob, "it has nothing to load")
    for header in loads:
        _check_load(elf, header)
    lowest = min(_physical(header) for header in loads)
    relocatable = elf.e_type == ET_DYN
    base = ET_DYN_ADDRESS - (lowest & ~0xFFFF) if relocatable else 0
    segments = tuple(Segment(_physical(h) + base, h.p_memsz, h.p_offset, h.p_filesz) for h in loads)
    _check_disjoint(elf, segments)
    entry, toc = _entry(elf, loads)
    return KernelImage(
        kind=f"ELF64 {'big' if elf.big_endian else 'little'}-endian {'ET_DYN' if relocatable else 'ET_EXEC'}",
        blob=elf.blob,
        segments=segments,
        entry=_to_physical(elf, loads, entry) + base,
        relocatable=relocatable,
        toc=toc,
    )


def _physical(header: ProgramHeader) -> int:
    return header.p_paddr & ~_LINEAR_MAP if header.p_paddr >= _LINEAR_MAP else header.p_paddr


def _check_load(elf: Elf, header: ProgramHeader) -> None:
    if header.p_filesz > header.p_memsz:
        raise damaged(elf.blob, f"a segment has {header.p_filesz} bytes in a memory of {header.p_memsz}")
    if header.p_offset + header.p_filesz > elf.blob.size:
        raise ConfigError(
            f"{elf.blob.name} is truncated: a segment ends at byte {header.p_offset + header.p_filesz}"
            f" of {elf.blob.size}",
            hint="fetch or build the file again",
        )


def _check_disjoint(elf: Elf, segments: tuple[Segment, ...]) -> None:
    ordered = sorted(segments, key=lambda segment: segment.address)
    for low, high in pairwise(ordered):
        if low.end > high.address:
            raise damaged(elf.blob, f"segments overlap at {high.address:#x}")


def _containing(loads: list[ProgramHeader], address: int) -> ProgramHeader | None:
    return next((h for h in loads if h.p_vaddr <= address < h.p_vaddr + h.p_memsz), None)


def _entry(elf: Elf, loads: list[ProgramHeader]) -> tuple[int, int]:
    """Virtual entry address and TOC pointer.

    Linux's e_entry is its text in both ABIs (vmlinux.lds.S: ENTRY(_stext)).  An ELFv1 program
    linked the ordinary way names a function descriptor there: it lies in data, which is how
    it is told from text (64-bit PowerPC ELF ABI Supplement 1.9, section 3.2.5).
    """
    header = _containing(loads, elf.e_entry)
    if header is None or header.p_flags & PF_X or elf.e_flags & EF_PPC64_ABI == 2:
        return elf.e_entry, 0
    descriptor = elf.blob.read(header.p_offset + elf.e_entry - header.p_vaddr, 16)
    order = "big" if elf.big_endian else "little"
    return int.from_bytes(descriptor[:8], order), int.from_bytes(descriptor[8:], order)  # type: ignore[arg-type]


def _to_physical(elf: Elf, loads: list[ProgramHeader], entry: int) -> int:
    header = _containing(loads, entry)
    if header is None or entry % 4:
        raise damaged(elf.blob, f"entry point {entry:#x} is not in the kernel")
    return entry - header.p_vaddr + _physical(header)
