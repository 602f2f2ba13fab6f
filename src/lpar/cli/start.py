# SPDX-License-Identifier: GPL-2.0-only
"""What all commands that start a guest share."""

from __future__ import annotations

from lpar import log
from lpar.cli.options import command_line, with_name
from lpar.cli.running import announced
from lpar.config import MachineConfig


def start(config: MachineConfig) -> int:
    """Say how to run it again, run it, return its exit status.  Raises LparError."""
    config = with_name(config)
    log.set_level(quiet=config.quiet, verbose=config.verbose)
    if log.level() > log.Level.QUIET:
        log.write(f"# {command_line(config)}")
    from lpar.machine import run_machine  # the machine is not needed to refuse an option

    with announced(config):
        return run_machine(config)
