# SPDX-License-Identifier: GPL-2.0-only
"""Which guests run now: each has a file, locked as long as it lives, in ``$XDG_RUNTIME_DIR/lpar``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lpar.config import MachineConfig


def runtime_dir() -> Path:
    """Where running guests are told of."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "lpar" if base else Path(tempfile.gettempdir()) / f"lpar-{os.getuid()}"


@contextlib.contextmanager
def announced(config: MachineConfig) -> Iterator[None]:
    """Tell of a guest while it runs.  A host that does not let us is no reason not to run it."""
    told = {"name": config.name, "pid": os.getpid(), "memory": config.memory, "cpus": config.cpus}
    path = runtime_dir() / f"{config.name}.{os.getpid()}.json"
    try:
        runtime_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
        file = path.open("w")
    except OSError:
        yield
        return
    with file:
        file.write(json.dumps(told))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def running() -> list[dict[str, Any]]:
    """All guests of this user that run now; files of guests that were killed are taken away."""
    found = []
    for path in sorted(runtime_dir().glob("*.json")):
        with contextlib.suppress(OSError, ValueError), path.open() as file:
            if _is_free(file.fileno()):
                path.unlink()
            else:
                found.append(dict(json.load(file)))
    return found


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
