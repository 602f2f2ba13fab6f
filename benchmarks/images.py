# SPDX-License-Identifier: GPL-2.0-only
"""The guests that the rows run in: kernel, initrd and parameters of each image."""

from __future__ import annotations

from pathlib import Path

from benchmarks import build, peer
from benchmarks.contenders import Machine
from benchmarks.rows import DISK, NET, PROGRAMS, SHELL, START, USERLAND
from benchmarks.userland import additions, userland
from lpar.cli.cpio import append_to, archive, regular
from lpar.cli.guests import Guest, debian_installer
from lpar.cli.kernels import debian_kernel


def machine_of(image: str, cpus: int, memory: str, params: str = "") -> Machine:
    """The machine for an image.  Raises HostError when its parts cannot be had."""
    if image == START:
        return Machine(build.start_kernel(), None, cpus, memory)
    if image == DISK:
        return _with_disk(cpus, memory, params)
    if image == NET:
        return _with_network(cpus, memory, params)
    guest = debian_installer()
    initrds = {SHELL: lambda _: guest.shell_initrd, PROGRAMS: _with_programs, USERLAND: _with_userland}
    return Machine(guest.kernel, initrds[image](guest), cpus, memory, f"{guest.params} {params}".strip())


def _with_disk(cpus: int, memory: str, params: str) -> Machine:
    """Debian's kernel with lpar's initramfs, /lpardisk, and a disk."""
    kernel, program = debian_kernel(), build.lpardisk().read_bytes()
    base = kernel.initrd.read_bytes()

    def make(to: Path) -> None:
        to.write_bytes(append_to(base, [regular("lpardisk", program, 0o755)]))

    initrd = build.kept("initrd-disk", [base, program], make)
    words = f"{kernel.params} {params}".strip()
    return Machine(kernel.kernel, initrd, cpus, memory, words, (build.disk_image(), build.blank_disk()))


NETWORK_UP = """\
#!/bin/sh
[ -n "$(ip addr show dev eth0 | grep 10.0.2.15)" ] || {
    ip link set eth0 up
    ip addr add 10.0.2.15/24 dev eth0
}
exec /lparnet "$@"
"""


def _with_network(cpus: int, memory: str, params: str) -> Machine:
    """Debian's kernel with lpar's initramfs, /lparnet, and a card on a user network."""
    kernel, program = debian_kernel(), build.lparnet().read_bytes()
    base = kernel.initrd.read_bytes()
    entries = [regular("lparnet", program, 0o755), regular("net", NETWORK_UP.encode(), 0o755)]

    def make(to: Path) -> None:
        to.write_bytes(append_to(base, entries))

    initrd = build.kept("initrd-net", [base, program, NETWORK_UP.encode()], make)
    words = f"{kernel.params} lpar.port={peer.port()} {params}".strip()
    return Machine(kernel.kernel, initrd, cpus, memory, words, network=True)


def _with_programs(guest: Guest) -> Path:
    """The shell's initrd and /lparbench."""
    program = build.lparbench().read_bytes()
    base = guest.shell_initrd.read_bytes()

    def make(to: Path) -> None:
        to.write_bytes(append_to(base, [regular("lparbench", program, 0o755)]))

    return build.kept("initrd-programs", [base, program], make)


def _with_userland(guest: Guest) -> Path:
    """The same and /debian; not compressed, since a guest would take longer to unpack it."""
    parts = [_with_programs(guest).read_bytes(), userland().read_bytes(), archive(additions())]

    def make(to: Path) -> None:
        to.write_bytes(b"".join(parts))

    return build.kept("initrd-userland", parts, make)
