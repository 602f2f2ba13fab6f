# SPDX-License-Identifier: GPL-2.0-only
"""Run a guest."""

from __future__ import annotations

from collections.abc import Sequence

from lpar.cli.options import config_from, make_parser
from lpar.cli.start import start


def run(args: Sequence[str]) -> int:
    """``lpar run [OPTIONS] [KERNEL]``; the status is the guest's."""
    parser = make_parser("run", "Run a guest.")
    parser.add_argument("bare_kernel", metavar="KERNEL", nargs="?", help="kernel image, as -k")
    return start(config_from(parser.parse_args(list(args))))
