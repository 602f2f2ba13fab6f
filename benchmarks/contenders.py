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

from lpar.cli.guests import Guest


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that every contender starts; ``memory`` as both programs read it, e.g. 1G."""

    guest: Guest
    cpus: int = 1
    memory: str = "1G"
    params: str = ""

    @property
    def all_params(self) -> str:
        """The kernel's parameters."""
        return f"{self.guest.params} {self.params}".strip()


@dataclass(frozen=True, slots=True)
class Contender:
    """``command`` starts a machine.

    With ``cold``, lpar's cache of compiled code is empty each time: only the boot is worth measuring.
    """

    name: str
    command: Callable[[Machine], list[str]]
    cold: bool = False

    @contextmanager
    def environment(self) -> Iterator[Mapping[str, str] | None]:
        """The environment to run in."""
        if not self.cold:
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="lpar-bench-") as empty:
            yield {**os.environ, "XDG_CACHE_HOME": empty}


def lpar(machine: Machine) -> list[str]:
    """``lpar run``."""
    words = [sys.executable, "-m", "lpar", "run", "-q", "-p", machine.all_params]
    words += ["-k", str(machine.guest.kernel), "-i", str(machine.guest.shell_initrd)]
    return [*words, "-m", machine.memory, "-c", str(machine.cpus)]


def qemu(machine: Machine) -> list[str]:
    """QEMU's pseries machine, with nothing that the guest would have to probe."""
    program = shutil.which("qemu-system-ppc64") or "qemu-system-ppc64"
    words = [program, "-M", "pseries", "-cpu", "POWER9", "-m", machine.memory, "-smp", str(machine.cpus)]
    words += ["-nodefaults", "-display", "none", "-serial", "stdio", "-append", machine.all_params]
    return [*words, "-kernel", str(machine.guest.kernel), "-initrd", str(machine.guest.shell_initrd)]


REFERENCE = "qemu"
CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("lpar", lpar),
        Contender(REFERENCE, qemu),
        Contender("lpar cold", lpar, cold=True),
    )
}
