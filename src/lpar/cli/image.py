# SPDX-License-Identifier: GPL-2.0-only
"""A folder with mapped ids as an ext4 image, without root: by ``mke2fs -d``, then debugfs.

mke2fs copies what the host's files have: our ids, modes 0600 and 0700, and the attribute that says
better.  debugfs then writes each inode's mode, owner and device, and takes the attribute away.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lpar import log
from lpar.backend.ninep.ids import ATTRIBUTE, HIDDEN, Owner, stored
from lpar.cli.roots import LABEL, Root
from lpar.errors import HostError
from lpar.units import format_size

_BLOCK = 1024


def make_image(root: Root, size: int) -> None:
    """Make ``root.image`` of ``size`` bytes from ``root.folder``, whole or not at all.  Raises HostError."""
    for program in ("mke2fs", "debugfs"):
        if _find(program) is None:
            raise HostError(f"no {program} on this machine", hint="install e2fsprogs, or leave --image out")
    fresh = root.image.with_suffix(".new")
    log.info(f"making a disk image of {format_size(size)}")
    try:
        _run(
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-L",
            LABEL,
            "-E",
            "root_owner=0:0",
            "-d",
            str(root.folder),
            str(fresh),
            f"{size // _BLOCK}k",
        )
        with tempfile.NamedTemporaryFile("w", prefix="lpar-owners-", errors="surrogateescape") as script:
            script.writelines(f"{line}\n" for line in _commands(root.folder))
            script.flush()
            _run("debugfs", "-w", "-f", script.name, str(fresh))
        fresh.replace(root.image)
    finally:
        fresh.unlink(missing_ok=True)


def _find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [_find(program) or program, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no word"]
        raise HostError(f"{program} failed: {lines[-1]}", hint="a larger --image may help")


def _commands(folder: Path) -> Iterator[str]:
    """debugfs commands for every file; names are quoted, those that cannot be are left as they are."""
    for where, names, files in os.walk(folder):
        for name in [".", *names, *files] if where == str(folder) else [*names, *files]:
            path = os.path.normpath(os.path.join(where, name))
            inside = "/" + os.path.relpath(path, folder) if path != str(folder) else "/"
            if '"' not in inside and "\n" not in inside:
                yield from _for_file(path, inside)


def _for_file(path: str, inside: str) -> Iterator[str]:
    status = os.lstat(path)
    link = stat.S_ISLNK(status.st_mode)
    owner = stored(path) or Owner(status.st_mode, 0, 0, 0)
    if not link:
        yield f'sif "{inside}" mode 0{owner.mode:o}'
    yield f'sif "{inside}" uid {owner.uid}'
    yield f'sif "{inside}" gid {owner.gid}'
    if owner.rdev:
        yield f'sif "{inside}" block[0] {os.major(owner.rdev) << 8 | os.minor(owner.rdev)}'
    if not link:
        for name in os.listxattr(path, follow_symlinks=False):
            if os.fsencode(name) == ATTRIBUTE or os.fsencode(name).startswith(HIDDEN):
                yield f'ea_rm "{inside}" {name}'
