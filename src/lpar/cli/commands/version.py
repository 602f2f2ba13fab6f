# SPDX-License-Identifier: GPL-2.0-only
"""Show the version of lpar."""

from __future__ import annotations

from collections.abc import Sequence

import lpar
from lpar.errors import ConfigError


def run(args: Sequence[str]) -> int:
    """``lpar version``."""
    if args and args[0] not in ("-h", "--help"):
        raise ConfigError(f"version takes no argument: {args[0]}")
    print(f"lpar {lpar.__version__}" if not args else "usage: lpar version")
    return 0
