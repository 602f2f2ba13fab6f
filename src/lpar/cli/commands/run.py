# SPDX-License-Identifier: GPL-2.0-only
"""Run a guest, or a command in one."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

from lpar.cli import roots
from lpar.cli.options import config_from, make_parser
from lpar.cli.start import start
from lpar.config import MachineConfig
from lpar.errors import ConfigError

_ABOUT = """\
Run a guest: a kernel of your own, or a root file system that 'lpar setup' made, by its name, with user
networking unless -n says else.  With -- and a command, run that in it: the current folder is /host,
standard streams are connected, and the exit status is the command's."""


def run(args: Sequence[str]) -> int:
    """``lpar run [OPTIONS] [KERNEL | NAME] [-- COMMAND...]``; the status is the guest's, or the command's."""
    words, command = split(args)
    parser = make_parser("run", _ABOUT)
    parser.add_argument("bare_kernel", metavar="KERNEL|NAME", nargs="?", help="kernel image, or root's name")
    parser.usage = "lpar run [OPTIONS] [KERNEL | NAME] [-- COMMAND...]"
    space = parser.parse_args(words)
    if space.bare_kernel is None or not roots.is_name(space.bare_kernel):
        if command is not None:
            raise ConfigError("a command wants a root file system", hint="lpar run debian -- COMMAND")
        return start(config_from(space))
    return run_root(space, space.bare_kernel, command)


def split(args: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The words before ``--``, and those behind it."""
    words = list(args)
    if "--" not in words:
        return words, None
    at = words.index("--")
    if not words[at + 1 :]:
        raise ConfigError("no command behind --", hint="for example: lpar run debian -- uname -a")
    return words[:at], words[at + 1 :]


def run_root(
    space: argparse.Namespace, name: str, command: list[str] | None, *, sandbox: bool = False
) -> int:
    """Run a root file system, or a command in it; ``sandbox`` leaves it as it is."""
    root = roots.find(name)
    space.bare_kernel = None
    with roots.in_use(root, shared=sandbox):
        config = _config(space, root, command is not None, sandbox)
        if command is None:
            return start(config)
        from lpar.cli.command import run_command

        return run_command(config, command, sandbox=sandbox)


def _config(space: argparse.Namespace, root: roots.Root, has_command: bool, sandbox: bool) -> MachineConfig:
    from lpar.cli.command import INIT

    init = INIT if has_command else None
    base = roots.machine(root, init=init, quiet=has_command, read_only=sandbox)
    own = base.shares, base.disks
    base = dataclasses.replace(base, networks=roots.default_network(), shares=(), disks=())
    config = config_from(space, base)
    return dataclasses.replace(config, shares=(*own[0], *config.shares), disks=(*own[1], *config.disks))
