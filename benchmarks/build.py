# SPDX-License-Identifier: GPL-2.0-only
"""The guest programs, built from benchmarks/programs by Debian's cross compiler and kept in the user's cache.

What is kept is named by a hash of everything that it was made from, so that it is never out of date.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lpar.cli.guests import cache_dir
from lpar.errors import HostError

SOURCES = Path(__file__).parent / "programs"
COMPILER = "powerpc64le-linux-gnu-gcc"
OBJDUMP = "powerpc64le-linux-gnu-objdump"
FLAGS = ("-static", "-O2", "-mcpu=power8", "-std=gnu11", "-fno-math-errno", "-Wall", "-Wextra", "-pthread")
#: Big-endian, without a C library, at an address that both lpar and QEMU's firmware leave free.
KERNEL_FLAGS = ("-mbig", "-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0x4000000", "-Wl,--build-id=none,-N")


def kept(name: str, made_from: Iterable[bytes], make: Callable[[Path], None]) -> Path:
    """The file ``name`` of the cache; ``make`` writes it when there is none made from the same things.

    Raises HostError when that fails.
    """
    digest = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in made_from)).hexdigest()
    where = cache_dir().parent / "bench" / f"{digest[:16]}-{name}"
    if where.is_file():
        return where
    where.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=name + ".", dir=where.parent) as work:
        fresh = Path(work) / name
        make(fresh)
        for old in where.parent.glob(f"*-{name}"):
            with contextlib.suppress(OSError):
                old.unlink()
        fresh.rename(where)
    return where


def run(words: Sequence[str]) -> bytes:
    """Run a tool; what it printed.  Raises HostError when it is not there or fails."""
    if shutil.which(words[0]) is None:
        raise HostError(f"no {words[0]} on this machine", hint="`make setup` installs what this needs")
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise HostError(f"{os.path.basename(words[0])} failed: {lines[-1]}")
    return done.stdout


def _compiled(name: str, flags: Sequence[str], sources: Sequence[Path], others: Sequence[Path] = ()) -> Path:
    parts = [source.read_bytes() for source in (*sources, *others)]
    parts += [" ".join(flags).encode(), run([COMPILER, "--version"])]

    def make(to: Path) -> None:
        run([COMPILER, *flags, *map(str, sources), "-o", str(to)])

    return kept(name, parts, make)


def lparbench() -> Path:
    """The static program of all rows.  Raises HostError."""
    return _compiled("lparbench", FLAGS, sorted(SOURCES.glob("*.c")), sorted(SOURCES.glob("*.h")))


def lpardisk() -> Path:
    """The static program of the disk rows.  Raises HostError."""
    return _compiled("lpardisk", FLAGS, [SOURCES / "disk" / "lpardisk.c"])


def lparnet() -> Path:
    """The static program of the network rows.  Raises HostError."""
    return _compiled("lparnet", FLAGS, [SOURCES / "net" / "lparnet.c"])


def disk_image() -> Path:
    """A disk of 512 MiB with content that is no pattern.  Raises HostError."""

    def make(to: Path) -> None:
        block = hashlib.shake_256(b"lpar").digest(1 << 20)
        with to.open("wb") as file:
            for number in range(512):
                file.write(number.to_bytes(8, "big") + block[8:])

    return kept("disk.img", [b"512 MiB, 1"], make)


def blank_disk() -> Path:
    """A disk of 512 MiB to write to.  Raises HostError."""

    def make(to: Path) -> None:
        to.touch()
        os.truncate(to, 512 << 20)

    return kept("blank.img", [b"512 MiB"], make)


def start_kernel() -> Path:
    """The smallest kernel: prints and stops.  Raises HostError."""
    return _compiled("start", KERNEL_FLAGS, [SOURCES / "start.S"])


def preprocessed(source: str) -> bytes:
    """One of our C files with its headers, for the guest's compiler to work on.  Raises HostError."""
    return run([COMPILER, "-E", "-P", str(SOURCES / source)])
