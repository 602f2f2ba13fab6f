# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tests.kvm.rig [WHAT]``: build the rig from Debian's packages, start it, show what it does.

WHAT is ``test`` (all), ``race``, ``boot``, or ``shell`` (a terminal in the rig; ``poweroff -f`` leaves).
The host is a POWER9 with nested HV; ``--pr KERNEL`` makes it a POWER8 with a kernel that has KVM PR
(``scripts/pr-kernel``).  QEMU emulates it, or with ``--pr`` and ``--by lpar`` our own engine.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.kvm.rig import image

from lpar.cli.guests import Guest, debian_installer

LIMIT = 40 * 60  #: seconds that a rig may take: six minutes, and on busy hosts four times as long
QUIET_CAPS = "cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"
DONE = re.compile(r"^rig: done (\d+)")


def command(kernel: Path, initrd: Path, what: str, *, pr: bool) -> list[str]:
    """QEMU as the host."""
    machine, cpu, cpus = ("pseries,", "POWER8", 1) if pr else ("pseries,cap-nested-hv=on,", "POWER9", 2)
    return [
        *("qemu-system-ppc64", "-M", machine + QUIET_CAPS, "-cpu", cpu, "-accel", "tcg,thread=multi"),
        *("-smp", str(cpus), "-m", "4G", "-nodefaults", "-vga", "none", "-display", "none"),
        *("-serial", "stdio"),
        *("-kernel", str(kernel), "-initrd", str(initrd)),
        *("-append", f"console=hvc0 rdinit=/init rig={what}"),
    ]


def by_lpar(kernel: Path, initrd: Path, what: str) -> list[str]:
    """Our own engine as the host."""
    params = f"console=hvc0 rdinit=/init rig={what}"
    run = [sys.executable, "-m", "lpar", "run", "--cpu", "POWER8", "-m", "4G"]
    return [*run, "-k", str(kernel), "-i", str(initrd), "-p", params]


def show(words: Sequence[str]) -> int:
    """Run the rig, every line with its time; its status, 124 when it takes too long."""
    begin = time.monotonic()
    status = 1
    nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(words, stdin=nothing, stdout=pipe, stderr=subprocess.STDOUT) as rig:
        assert rig.stdout is not None
        killer = threading.Timer(LIMIT, rig.kill)
        killer.start()
        wanted = _Wanted()
        for raw in rig.stdout:
            line = raw.decode(errors="replace").rstrip()
            if found := DONE.match(line):
                status = int(found[1])
            if wanted(line):
                print(f"{time.monotonic() - begin:7.1f}  {line}", flush=True)
        killer.cancel()
    if time.monotonic() - begin >= LIMIT:
        print(f"rig: not done after {LIMIT} s")
        return 124
    return status


class _Wanted:
    """Which lines are shown: of the host's own start one in a hundred, then all."""

    def __init__(self) -> None:
        self._count = 0
        self._up = False

    def __call__(self, line: str) -> bool:
        self._count += 1
        self._up = self._up or line.startswith("rig: ")
        return self._up or self._count % 100 == 1 or "error" in line


def main(args: Sequence[str]) -> int:
    """The status: 0 when all that was tried worked."""
    parser = argparse.ArgumentParser(prog="python -m tests.kvm.rig", description=__doc__)
    parser.add_argument("what", nargs="?", default="test", choices=("test", "race", "boot", "shell"))
    parser.add_argument("--pr", metavar="KERNEL", type=Path, help="a POWER8 host with this kernel")
    parser.add_argument("--by", default="qemu", choices=("qemu", "lpar"), help="what emulates the host")
    parser.add_argument("--add", metavar="FILE", type=Path, action="append", default=[], help="to /added")
    space = parser.parse_args(args)
    guest: Guest = debian_installer()
    with tempfile.TemporaryDirectory(prefix="lpar-rig-") as work:
        initrd = Path(work) / "rig.cpio"
        image.build(guest, initrd, space.add)
        print(f"rig: initramfs of {image.size_of(initrd)}; starting the host", flush=True)
        words = command(space.pr or guest.kernel, initrd, space.what, pr=space.pr is not None)
        if space.by == "lpar":
            words = by_lpar(space.pr or guest.kernel, initrd, space.what)
        return subprocess.call(words) if space.what == "shell" else show(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
