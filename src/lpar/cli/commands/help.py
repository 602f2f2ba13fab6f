# SPDX-License-Identifier: GPL-2.0-only
"""Show what lpar can do, or what a command takes."""

from __future__ import annotations

from collections.abc import Sequence

from lpar.cli.main import command_names, find_command, summary

_HEAD = """\
usage: lpar COMMAND [OPTIONS]

A virtual machine monitor for PPC64 sPAPR (pseries) guests.

commands:"""
_TAIL = """
lpar help COMMAND tells more.  For a first look: lpar boot debian; to work in one: lpar setup debian

While a guest runs: Ctrl-a x ends it, Ctrl-a h shows all keys.
exit status: 0 powered off, 255 panicked or vanished, 124 timed out, 2 usage, 1 our failure."""


def run(args: Sequence[str]) -> int:
    """``lpar help [COMMAND]``."""
    if args:
        return find_command(args[0])(["--help"]) if args[0] != "help" else run([])
    print(_HEAD)
    for name in command_names():
        print(f"  {name:<10} {summary(name)}")
    print(_TAIL)
    return 0
