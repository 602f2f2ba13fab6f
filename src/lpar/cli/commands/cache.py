# SPDX-License-Identifier: GPL-2.0-only
"""Show, clear or warm what the engine has compiled."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from lpar import log
from lpar.cli.options import Parser
from lpar.errors import ConfigError, HostError

RAW = argparse.RawDescriptionHelpFormatter
_ABOUT = """\
What the CPU engine has compiled and kept, in $XDG_CACHE_HOME/lpar/engine.
  show    each build of the engine: its own code, and the hot code of guests that it ran
  clear   remove all of it; guests that run go on
  warm    build the engine's own code now; hot code of a guest is kept by running that guest"""


def run(args: Sequence[str]) -> int:
    """``lpar cache show|clear|warm [--json]``."""
    parser = Parser(prog="lpar cache", description=_ABOUT, allow_abbrev=False, formatter_class=RAW)
    parser.add_argument("action", metavar="ACTION", nargs="?", default="show", help="show, clear or warm")
    parser.add_argument("--json", action="store_true", help="for programs")
    space = parser.parse_args(list(args))
    if space.action not in _ACTIONS:
        raise ConfigError(f"unknown action {space.action!r}", hint=f"one of: {', '.join(_ACTIONS)}")
    facts, lines = _ACTIONS[space.action]()
    print(json.dumps(facts) if space.json else "\n".join(lines))
    return 0


def _show() -> tuple[object, list[str]]:
    from lpar.cpu import build, cache_files

    kept, current = cache_files.inventory(), cache_files.current_key()
    rows = [{**asdict(each), "current": each.key == current} for each in kept]
    directory = str(build.cache_directory())
    total = sum(each.engine_bytes + each.region_bytes for each in kept)
    lines = [f"{directory}: {_mib(total)}"]
    for each in kept:
        regions = "damaged" if each.regions is None else f"{each.regions} regions"
        age = "this build" if each.key == current else _age(each.used)
        lines.append(
            f"  {each.key[:12]}  engine {_mib(each.engine_bytes):>9}  "
            f"guests {_mib(each.region_bytes):>9}, {regions}  ({age})"
        )
    return {"directory": directory, "bytes": total, "builds": rows}, lines


def _clear() -> tuple[object, list[str]]:
    from lpar.cpu import cache_files

    try:
        freed = cache_files.clear()
    except OSError as err:
        raise HostError(f"cannot remove {err.filename}: {err.strerror}") from None
    return {"freed": freed}, [f"freed {_mib(freed)}"]


def _warm() -> tuple[object, list[str]]:
    from lpar.cpu import cache_files

    begin = time.monotonic()
    built = cache_files.warm(lambda what, done, total: log.progress(f"building: {what}", done, total))
    seconds = round(time.monotonic() - begin, 2)
    return {"built": built, "seconds": seconds}, [f"built in {seconds:g} s" if built else "nothing to do"]


_ACTIONS: dict[str, Callable[[], tuple[object, list[str]]]] = {"show": _show, "clear": _clear, "warm": _warm}


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _age(stamp: float) -> str:
    hours = max(time.time() - stamp, 0) / 3600
    return f"{hours / 24:.0f} days old" if hours >= 48 else f"{hours:.0f} hours old"
