# SPDX-License-Identifier: GPL-2.0-only
"""What lpar itself has to say goes to stderr: the guest's console has stdout alone.

Lines are ``lpar: text``; ``--quiet`` leaves errors only, ``-v`` adds detail, NO_COLOR (or a pipe)
takes the colours away.
"""

from __future__ import annotations

import enum
import os
import sys


class Level(enum.IntEnum):
    """How much to say."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


_COLOURS = {"error": "31;1", "warning": "33", "hint": "36"}
_level = Level.NORMAL


def set_level(*, quiet: bool = False, verbose: int = 0) -> None:
    """Choose the level for the whole process; ``quiet`` wins over ``verbose``."""
    global _level
    _level = Level.QUIET if quiet else Level.VERBOSE if verbose else Level.NORMAL


def level() -> Level:
    """The level in force."""
    return _level


def coloured() -> bool:
    """Whether stderr takes colours: a terminal, no NO_COLOR (https://no-color.org), TERM not dumb."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stderr.isatty()


def _paint(word: str) -> str:
    return f"\033[{_COLOURS[word]}m{word}:\033[0m" if coloured() else f"{word}:"


def write(line: str) -> None:
    """One whole line to stderr; a closed or full stderr is nobody's error."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def info(text: str) -> None:
    """A line that ``--quiet`` hides."""
    if _level >= Level.NORMAL:
        write(f"lpar: {text}")


def debug(text: str) -> None:
    """A line that only ``-v`` shows."""
    if _level >= Level.VERBOSE:
        write(f"lpar: {text}")


def warning(text: str) -> None:
    """Something is not as asked, but lpar goes on."""
    if _level >= Level.NORMAL:
        write(f"lpar: {_paint('warning')} {text}")


def error(text: str, hint: str | None = None) -> None:
    """What ended lpar, in one line, and what to do about it in a second one."""
    write(f"lpar: {_paint('error')} {text}")
    if hint:
        write(f"  {_paint('hint')} {hint}")


def progress(what: str, done: int, total: int) -> None:
    """Show how far a long preparation is: in one line that grows on a terminal, at its start elsewhere."""
    if _level < Level.NORMAL:
        return
    if not sys.stderr.isatty():
        if done <= 1:
            info(what)
        return
    try:
        sys.stderr.write(
            f"\r\033[Klpar: {what}: {100 * done // max(total, 1)} %" + ("\n" if done >= total else "")
        )
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
