# SPDX-License-Identifier: GPL-2.0-only
"""Run a command in a guest whose changes are thrown away."""

from __future__ import annotations

from collections.abc import Sequence

from lpar.cli.commands.run import run_root, split
from lpar.cli.options import make_parser
from lpar.errors import ConfigError

_ABOUT = """\
Run a command in a root file system that 'lpar setup' made (debian, if no name is given), which stays as
it is: what the command changes is kept in memory and thrown away.  Only the current folder, at /host, is
the real one.  Several sandboxes of a root may run at once.  The exit status is the command's."""


def run(args: Sequence[str]) -> int:
    """``lpar sandbox [OPTIONS] [NAME] -- COMMAND...``."""
    words, command = split(args)
    parser = make_parser("sandbox", _ABOUT)
    parser.add_argument("bare_kernel", metavar="NAME", nargs="?", help="root's name (debian)")
    parser.usage = "lpar sandbox [OPTIONS] [NAME] -- COMMAND..."
    space = parser.parse_args(words)
    if command is None:
        raise ConfigError("which command?", hint="for example: lpar sandbox -- uname -a")
    return run_root(space, space.bare_kernel or "debian", command, sandbox=True)
