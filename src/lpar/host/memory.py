# SPDX-License-Identifier: GPL-2.0-only
"""Guest memory: one private mapping of the host, from guest-physical address 0 up.

Host memory is taken only as the guest touches it.  That is why the anonymous mapping is made with
``MAP_NORESERVE`` (no commit charge for the whole size) and why it is *not* advised
``MADV_HUGEPAGE``: a guest that writes one byte per 2 MiB would then take all of its memory at
once.  Whoever wants huge pages asks for hugetlbfs, whose pages are reserved when the mapping is
made, so that too few of them is an error here and not a SIGBUS later.  Both kinds are advised
``MADV_MERGEABLE``, so that a host running KSM can share equal pages between guests.

Functions here mirror kvm__init_ram, kvm__arch_init and kvm__arch_delete_ram of kvmtool's
powerpc/kvm.c.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lpar.errors import ConfigError, GuestError, HostError, InternalError

RAM_LIMIT = 63 << 40  #: bytes; MMIO starts at 63 TiB (PPC_MMIO_START of kvmtool)
HUGETLBFS_DEFAULT = "/var/lib/hugetlbfs/global/pagesize-16MB/"  #: what ``--hugetlbfs default`` means
HUGETLBFS_MAGIC = 0x958458F6  #: ``f_type`` of statfs(2), linux/magic.h

# asm-generic/mman.h; x86-64, arm64 and riscv agree, powerpc does not; mmap names it from 3.13 on
_MAP_NORESERVE = 0x40 if platform.machine().startswith("ppc") else 0x4000
HUGE_PAGE = 2 << 20  #: bytes; of most hosts, and of POWER's radix MMU
_CHUNK = 64 * 1024  #: granularity of :meth:`GuestMemory.save`, bytes
_TOUCHED = re.compile(rb"[\x40-\xff]")  #: pagemap bits 63 (present) or 62 (swapped)


class GuestAccessError(GuestError):
    """A guest-physical address range that is not (all) RAM."""

    def __init__(self, addr: int, length: int, size: int) -> None:
        super().__init__(f"guest-physical {addr:#x}+{length:#x} is outside RAM ({size:#x} bytes)")
        self.addr = addr
        self.length = length


class GuestMemory:
    """RAM of one guest: ``size`` bytes at guest-physical 0, at host address ``address``.

    All offsets are guest-physical addresses, all lengths bytes.  Any access that is not wholly
    inside RAM raises :class:`GuestAccessError`; nothing is read or written then.

    Accesses of 2, 4 and 8 bytes that are naturally aligned are single copies: a guest that
    stores the same location at the same time is seen before or after, never half done.
    """

    size: int
    address: int

    def __init__(self, size: int, *, hugetlbfs: str | None = None) -> None:
        """Map ``size`` bytes, anonymous or from the hugetlbfs mounted at ``hugetlbfs``.

        Raises ConfigError for a size or path that cannot be, HostError if the host refuses.
        """
        check_ram_size(size)
        self.size = size
        self._map = _map_anonymous(size) if hugetlbfs is None else _map_hugetlbfs(size, hugetlbfs)
        page_size = mmap.PAGESIZE if hugetlbfs is None else hugetlbfs_page_size(_hugetlbfs_path(hugetlbfs))
        self.page_shift = page_size.bit_length() - 1  #: log2 of the size of the pages behind it
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._view = memoryview(self._map)
        _advise_mergeable(self._map)

    def __enter__(self) -> GuestMemory:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GuestMemory({self.size:#x} bytes at host {self.address:#x})"

    def close(self) -> None:
        """Give the memory back.  With views still in use it goes when the last of them does."""
        self._view.release()
        try:
            self._map.close()
        except BufferError:
            pass  # a view() is alive: its memoryview keeps the mapping, garbage collection ends it
        self.address = 0

    def _end(self, addr: int, length: int) -> int:
        end = addr + length
        if addr < 0 or length < 0 or end > self.size:
            raise GuestAccessError(addr, length, self.size)
        return end

    def contains(self, addr: int, length: int = 1) -> bool:
        """Whether all of the range is RAM."""
        return addr >= 0 and length >= 0 and addr + length <= self.size

    def read(self, addr: int, length: int) -> bytes:
        """``length`` bytes from ``addr``."""
        return bytes(self._view[addr : self._end(addr, length)])

    def write(self, addr: int, data: bytes | bytearray | memoryview) -> None:
        """Put ``data`` at ``addr``."""
        self._view[addr : self._end(addr, len(data))] = data

    def view(self, addr: int, length: int) -> memoryview:
        """A writable window on RAM, no copy."""
        return self._view[addr : self._end(addr, length)]

    def fill(self, addr: int, length: int, byte: int = 0) -> None:
        """Set a range to one byte value, in steps, without touching pages twice."""
        end = self._end(addr, length)
        block = bytes([byte]) * min(length, 1 << 20)
        while addr < end:
            step = min(len(block), end - addr)
            self._view[addr : addr + step] = block[:step]
            addr += step

    def read_u16(self, addr: int) -> int:
        """Big-endian 16 bits."""
        return int.from_bytes(self._view[addr : self._end(addr, 2)], "big")

    def read_u32(self, addr: int) -> int:
        """Big-endian 32 bits."""
        return int.from_bytes(self._view[addr : self._end(addr, 4)], "big")

    def read_u64(self, addr: int) -> int:
        """Big-endian 64 bits."""
        return int.from_bytes(self._view[addr : self._end(addr, 8)], "big")

    def write_u16(self, addr: int, value: int) -> None:
        """Big-endian 16 bits; higher bits of ``value`` are dropped."""
        self.write(addr, (value & 0xFFFF).to_bytes(2, "big"))

    def write_u32(self, addr: int, value: int) -> None:
        """Big-endian 32 bits; higher bits of ``value`` are dropped."""
        self.write(addr, (value & 0xFFFF_FFFF).to_bytes(4, "big"))

    def write_u64(self, addr: int, value: int) -> None:
        """Big-endian 64 bits; higher bits of ``value`` are dropped."""
        self.write(addr, (value & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "big"))

    def discard(self, addr: int, length: int) -> None:
        """Give whole host pages inside the range back to the host; they read as zero again."""
        end = self._end(addr, length) & -mmap.PAGESIZE
        start = -(-addr // mmap.PAGESIZE) * mmap.PAGESIZE
        if start < end:
            try:
                self._map.madvise(mmap.MADV_DONTNEED, start, end - start)
            except OSError:  # hugetlbfs refuses parts of a huge page
                self.fill(start, end - start)

    def clear(self) -> None:
        """All RAM reads as zero, as at power on; no host memory is held afterwards."""
        self.discard(0, self.size)
        tail = self.size & -mmap.PAGESIZE
        self.fill(tail, self.size - tail)

    def resident(self) -> Iterator[tuple[int, int]]:
        """(address, length) of the 64 KiB chunks that have host memory behind them."""
        page, base = mmap.PAGESIZE, self.address
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            step = 16 << 20  # bytes of guest memory per read
            for start in range(0, self.size, step):
                pages = -(-min(step, self.size - start) // page)
                flags = os.pread(pagemap.fileno(), pages * 8, (base + start) // page * 8)[7::8]
                yield from _touched_chunks(flags, page, start, self.size)

    def save(self) -> dict[str, object]:
        """Plain data: the size, and address and bytes of every chunk that is not all zero."""
        chunks = ((addr, self.read(addr, length)) for addr, length in self.resident())
        return {"size": self.size, "chunks": [(addr, data) for addr, data in chunks if any(data)]}

    def restore(self, data: dict[str, object]) -> None:
        """Set RAM to what :meth:`save` gave.  Raises ConfigError if the sizes differ."""
        chunks = data.get("chunks")
        if data.get("size") != self.size:
            raise ConfigError(
                f"snapshot has {data.get('size')} bytes of RAM, this machine {self.size}",
                hint="start the machine with the memory size of the snapshot",
            )
        if not isinstance(chunks, list):
            raise InternalError("memory snapshot without chunks")
        self.clear()
        for addr, content in chunks:
            self.write(addr, content)


def check_ram_size(size: int) -> None:
    """Raise ConfigError unless RAM of ``size`` bytes fits below the MMIO range."""
    if size <= 0:
        raise ConfigError(f"RAM of {size} bytes", hint="give a size such as -m 1G")
    if size >= RAM_LIMIT:
        raise ConfigError(
            f"RAM of {size >> 40} TiB overlaps the MMIO range at 63 TiB", hint="give less than -m 63T"
        )


def _touched_chunks(flags: bytes, page: int, start: int, size: int) -> Iterator[tuple[int, int]]:
    """Chunks of which any page is present, ``flags`` being the top pagemap byte of each page."""
    per_chunk = max(1, _CHUNK // page)
    position = 0
    while match := _TOUCHED.search(flags, position):
        chunk = match.start() // per_chunk
        addr = start + chunk * per_chunk * page
        yield addr, min(per_chunk * page, size - addr)
        position = (chunk + 1) * per_chunk


def _map_anonymous(size: int) -> mmap.mmap:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    try:
        return _map_aligned(size, flags)
    except (OSError, OverflowError) as error:
        raise HostError(
            f"cannot map {size} bytes for RAM: {_reason(error)}",
            hint="give less memory with -m, or raise `ulimit -v` and vm.overcommit_memory",
        ) from error


def _map_aligned(size: int, flags: int) -> mmap.mmap:
    """At a multiple of 2 MiB where that is easy: KVM maps a huge page of the host as one only if it lies in
    the guest as in the host.

    The host puts mappings one below the other, so a pad of the right size moves the next one.  Where it does
    not, RAM lies anywhere.
    """
    found = mmap.mmap(-1, size, flags=flags)
    offset = _address(found) % HUGE_PAGE
    if size < HUGE_PAGE or not offset:
        return found
    found.close()
    pad = mmap.mmap(-1, offset, flags=flags)
    found = mmap.mmap(-1, size, flags=flags)
    pad.close()
    return found


def _address(mapping: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


def _hugetlbfs_path(where: str) -> Path:
    return Path(HUGETLBFS_DEFAULT if where == "default" else where)


def _map_hugetlbfs(size: int, where: str) -> mmap.mmap:
    """A private mapping of an unlinked file on hugetlbfs, its pages reserved at once."""
    path = _hugetlbfs_path(where)
    page_size = hugetlbfs_page_size(path)
    if size % page_size:
        raise ConfigError(
            f"RAM of {size} bytes is no multiple of the huge page size {page_size} of {path}",
            hint=f"round -m to a multiple of {max(1, page_size >> 20)}M",
        )
    try:
        with tempfile.TemporaryFile(prefix="lpar-ram-", dir=path) as file:
            file.truncate(size)
            return mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE)
    except OSError as error:
        raise HostError(
            f"cannot map {size} bytes from hugetlbfs {path}: {_reason(error)}",
            hint=f"reserve {-(-size // page_size)} huge pages (vm.nr_hugepages), or leave --hugetlbfs out",
        ) from error


def hugetlbfs_page_size(path: Path) -> int:
    """Page size in bytes of the hugetlbfs mounted at ``path``; ConfigError if it is none."""
    try:
        is_hugetlbfs = _filesystem_type(path) == HUGETLBFS_MAGIC
        page_size = os.statvfs(path).f_bsize
    except OSError as error:
        raise ConfigError(
            f"cannot use hugetlbfs {path}: {_reason(error)}", hint="mount it: mount -t hugetlbfs none PATH"
        ) from error
    if not is_hugetlbfs:
        raise ConfigError(
            f"{path} is not on a hugetlbfs file system", hint="mount one: mount -t hugetlbfs none PATH"
        )
    return page_size


def _filesystem_type(path: Path) -> int:
    """``f_type`` of statfs(2); raises OSError.  It is the first long of struct statfs."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = (ctypes.c_long * 64)()
    if libc.statfs(os.fsencode(path), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return int(buffer[0]) & 0xFFFF_FFFF


def _advise_mergeable(mapping: mmap.mmap) -> None:
    try:
        mapping.madvise(mmap.MADV_MERGEABLE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):  # a host kernel without KSM
            raise HostError(f"madvise(MADV_MERGEABLE) of RAM: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
