# SPDX-License-Identifier: GPL-2.0-only
"""``lpar COMMAND ...``: finds the command, runs it, and turns every error into one line and a status."""

from __future__ import annotations

import atexit
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from lpar import log
from lpar.errors import ConfigError, InternalError, LparError

Command = Callable[[Sequence[str]], int]

_FLAGS = {"-h": "help", "--help": "help", "-V": "version", "--version": "version"}
INTERRUPTED = 130  #: 128 + SIGINT, as shells report it


def command_names() -> list[str]:
    """All commands there are, sorted."""
    from lpar.cli import commands

    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def find_command(name: str) -> Command:
    """The command called ``name``.  Raises ConfigError when there is none."""
    if not name.isidentifier() or name not in command_names():
        known = ", ".join(command_names())
        hint = f"to run a kernel: lpar run {name}" if os.path.exists(name) else f"known: {known}"
        raise ConfigError(f"unknown command {name!r}", hint=hint)
    module = importlib.import_module(f"lpar.cli.commands.{name}")
    command: Command = module.run
    return command


def summary(name: str) -> str:
    """What the command does, in a few words: the first line of its module."""
    doc = importlib.import_module(f"lpar.cli.commands.{name}").__doc__ or ""
    return doc.partition("\n")[0].rstrip(".")


def main(args: Sequence[str]) -> int:
    """Run one command and return the exit status; reports LparErrors, never raises them."""
    try:
        name = args[0] if args else "help"
        return find_command(_FLAGS.get(name, name))(args[1:])
    except InternalError as err:
        return _bug(err)
    except LparError as err:
        log.error(err.message, err.hint)
        return err.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _stdout_gone()
    except Exception as err:  # a traceback is of no use to a user
        return _bug(err)


def _bug(err: BaseException) -> int:
    if log.level() >= log.Level.VERBOSE or os.environ.get("LPAR_DEBUG"):
        import traceback

        traceback.print_exc()
    text = " ".join(str(err).split())
    log.error(
        f"this is a bug in lpar: {type(err).__name__}: {text}", "run again with LPAR_DEBUG=1 and report it"
    )
    return 1


def _stdout_gone() -> int:
    """Whoever read our output left: say nothing, and keep Python from trying to flush again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def entry() -> NoReturn:
    """The ``lpar`` program."""
    status = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = _stdout_gone()
    leave(status)


def leave(status: int) -> NoReturn:
    """End the process at once, terminal restored: native code must not be taken from threads still in it."""
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(status)
