# SPDX-License-Identifier: GPL-2.0-only
"""Fetch a real guest and run it, to a shell."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from lpar import log
from lpar.cli import guests, kernels
from lpar.cli.options import config_from, make_parser
from lpar.cli.start import start
from lpar.config import MachineConfig
from lpar.errors import ConfigError


def _linux() -> guests.Guest:
    """Debian's kernel with lpar's initramfs: root= on a disk or a shared folder, or a shell."""
    found = kernels.debian_kernel()
    return guests.Guest(found.kernel, found.initrd, found.initrd, found.params)


GUESTS: dict[str, Callable[[], guests.Guest]] = {"debian": guests.debian_installer, "linux": _linux}

_VIRTIO = {"virtio": " console=hvc2"}  #: the hypervisor's terminal is hvc0, and hvc1 by RTAS calls
_ABOUT = """\
Fetch a real guest through the machine's package client, keep it in the cache, and run it to a shell.
'debian' is its installer's userland, 'linux' its kernel alone, which mounts root= or gives a shell.
Options are those of 'lpar run'; parameters given with -p come behind the guest's own."""


def run(args: Sequence[str]) -> int:
    """``lpar boot GUEST [OPTIONS]``; the status is the guest's."""
    parser = make_parser("boot", _ABOUT)
    parser.add_argument("guest", metavar="GUEST", nargs="?", help=f"one of: {', '.join(GUESTS)}")
    space = parser.parse_args(list(args))
    log.set_level(quiet=bool(space.quiet), verbose=space.verbose or 0)
    return start(config_from(space, _base(space)))


def _base(space: argparse.Namespace) -> MachineConfig:
    if space.guest not in GUESTS:
        asked = f"unknown guest {space.guest!r}" if space.guest else "which guest?"
        raise ConfigError(asked, hint=f"for example: lpar boot {next(iter(GUESTS))}")
    config_from(space, MachineConfig(kernel="-"))  # refuse wrong options before anything is fetched
    guest = GUESTS[space.guest]()
    own_files = space.kernel or space.initrd
    return MachineConfig(
        kernel=str(guest.kernel),
        initrd=str(guest.initrd if own_files else guest.shell_initrd),
        params=("console=hvc0" if own_files else guest.params) + _VIRTIO.get(space.console, ""),
    )
