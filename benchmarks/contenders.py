# SPDX-License-Identifier: GPL-2.0-only
"""What is compared: ways to start the same machine on the same kernel, initrd and parameters."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that every contender starts; ``memory`` as all of them read it, e.g. 1G."""

    kernel: Path
    initrd: Path | None = None
    cpus: int = 1
    memory: str = "1G"
    params: str = ""
    disks: tuple[Path, ...] = ()
    network: bool = False


class Cache(Enum):
    """What lpar finds in its cache when it starts."""

    WARM = "what earlier runs left"
    BUILT = "its own engine's code, nothing of any guest"
    EMPTY = "nothing, as on the first run after installation"


@dataclass(frozen=True, slots=True)
class Contender:
    """``command`` starts a machine."""

    name: str
    command: Callable[[Machine], list[str]]
    cache: Cache = Cache.WARM

    @contextmanager
    def environment(self) -> Iterator[Mapping[str, str]]:
        """The environment to run in.  An lpar that was installed has its bytecode; ours may write it."""
        own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        if self.cache == Cache.WARM:
            yield own
            return
        with tempfile.TemporaryDirectory(prefix="lpar-bench-") as fresh:
            if self.cache == Cache.BUILT:
                _copy_engine(Path(fresh))
            yield {**own, "XDG_CACHE_HOME": fresh}


def _copy_engine(fresh: Path) -> None:
    """The newest handlers alone: what `lpar.cpu.build` makes once for this host."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "lpar" / "engine"
    bundles = sorted(base.glob("handlers-*"), key=lambda path: path.stat().st_mtime)
    to = fresh / "lpar" / "engine"
    to.mkdir(parents=True)
    for bundle in bundles[-2:]:
        shutil.copy2(bundle, to)


def lpar(machine: Machine, *options: str) -> list[str]:
    """``lpar run``."""
    words = [sys.executable, "-m", "lpar", "run", "-q", *options, "-k", str(machine.kernel)]
    if machine.initrd:
        words += ["-i", str(machine.initrd)]
    if machine.params:
        words += ["-p", machine.params]
    for disk in machine.disks:
        words += ["-d", str(disk)]
    if machine.network:
        words += ["-n", "user"]
    return [*words, "-m", machine.memory, "-c", str(machine.cpus)]


def interpreter(machine: Machine) -> list[str]:
    """lpar without its compiled tier."""
    return lpar(machine, "--accel", "interp")


def qemu(machine: Machine) -> list[str]:
    """QEMU's pseries machine, with nothing that the guest would have to probe."""
    program = shutil.which("qemu-system-ppc64") or "qemu-system-ppc64"
    words = [program, "-M", "pseries", "-cpu", "POWER9", "-m", machine.memory, "-smp", str(machine.cpus)]
    words += ["-nodefaults", "-display", "none", "-serial", "stdio", "-kernel", str(machine.kernel)]
    if machine.initrd:
        words += ["-initrd", str(machine.initrd)]
    for number, disk in enumerate(machine.disks):
        words += ["-drive", f"file={disk},format=raw,if=none,id=disk{number},cache=writeback"]
        words += ["-device", f"virtio-blk-pci,drive=disk{number}"]
    if machine.network:
        words += ["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="]
    return [*words, "-append", machine.params] if machine.params else words


LPAR, REFERENCE = "lpar", "qemu"
CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(LPAR, lpar),
        Contender(REFERENCE, qemu),
        Contender("cold", lpar, Cache.EMPTY),
        Contender("built", lpar, Cache.BUILT),
        Contender("interp", interpreter),
    )
}
DEFAULT = (LPAR, REFERENCE, "cold")
