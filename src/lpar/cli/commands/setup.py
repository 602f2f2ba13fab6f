# SPDX-License-Identifier: GPL-2.0-only
"""Make a root file system to work in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lpar import log
from lpar.cli.options import Parser
from lpar.cli.roots import Root, base_dir
from lpar.errors import ConfigError
from lpar.units import MIB, parse_size

_ABOUT = """\
Make a root file system called NAME: Debian 12 for ppc64el, from Debian's packages through the machine's
package client, unpacked here and configured in a guest.  Needs no root.  Stopped, the same command goes
on where it was.  lpar run NAME starts it."""
SMALLEST = 512 * MIB


def run(args: Sequence[str]) -> int:
    """``lpar setup debian [NAME]``."""
    parser = Parser(prog="lpar setup", description=_ABOUT, allow_abbrev=False)
    parser.add_argument("system", metavar="SYSTEM", choices=["debian"], help="debian")
    parser.add_argument("name", metavar="NAME", nargs="?", default="debian", help="its name (debian)")
    parser.add_argument(
        "--image", metavar="SIZE", help="make an ext4 disk image of SIZE, too, and run from it"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="nothing on stderr but errors")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="more on stderr")
    space = parser.parse_args(list(args))
    log.set_level(quiet=space.quiet, verbose=space.verbose)
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}", space.name):
        raise ConfigError(f"name {space.name!r} cannot be used", hint="letters, digits, '-', '_' and '.'")
    from lpar.cli.debian import set_up

    set_up(Root(space.name, base_dir() / space.name), _image_size(space.image))
    return 0


def _image_size(text: str | None) -> int | None:
    if text is None:
        return None
    size = parse_size(text, what="--image")
    if size < SMALLEST:
        raise ConfigError(f"--image {text} is too small", hint="for example --image 4G")
    return size
