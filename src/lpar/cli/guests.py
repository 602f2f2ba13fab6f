# SPDX-License-Identifier: GPL-2.0-only
"""Real guests to boot, fetched through the machine's own package client and kept in the cache.

The cache holds the files of the package, what lpar made from them, and a manifest of sizes and
SHA-256 sums, written last.  A file whose size or time differs from the manifest is summed again;
a wrong sum throws the guest away, says so in one line, and fetches it anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpar import log
from lpar.cli import apt
from lpar.cli.cpio import append_to, regular
from lpar.errors import HostError

DEBIAN_PACKAGE = "debian-installer-12-netboot-ppc64el"
_IMAGES = "usr/lib/debian-installer/images/12/ppc64el/text/debian-installer/ppc64el"
_MANIFEST = "manifest.json"
_KERNEL, _INITRD, _SHELL_INITRD = "vmlinux", "initrd.gz", "initrd-shell.gz"

#: Mounts what a user expects, then leaves the rest to the installer's busybox as init.
SHELL_INIT = """\
#!/bin/sh
# Written by lpar: the installer's own programs, a shell in place of the installer.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=755 tmpfs /run
hostname debian
exec /bin/busybox init
"""
#: Init makes the shell the leader of a session on the console, so that it has job control.
SHELL_INITTAB = """\
hvc0::wait:-/bin/sh
::once:/sbin/poweroff -f
"""
SHELL_PARAMS = "console=hvc0 rdinit=/lpar-init"


@dataclass(frozen=True, slots=True)
class Guest:
    """Files of a guest: ``initrd`` as its maker ships it; ``shell_initrd`` with ``params`` gives a shell."""

    kernel: Path
    initrd: Path
    shell_initrd: Path
    params: str


def cache_dir() -> Path:
    """Where guests are kept: ``$XDG_CACHE_HOME/lpar/guests``, by default below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "lpar" / "guests"


def debian_installer() -> Guest:
    """Debian 12's installer for ppc64el; fetched when the cache has no good copy.

    Raises HostError when it cannot be had.
    """
    where = cache_dir() / "debian-12-ppc64el"
    with locked(where):
        if not _good(where):
            renew(where, _fetch_debian)
    return Guest(where / _KERNEL, where / _INITRD, where / _SHELL_INITRD, SHELL_PARAMS)


@contextlib.contextmanager
def locked(where: Path) -> Iterator[None]:
    """One process at a time fetches into ``where``."""
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        lock = open(where.with_suffix(".lock"), "w")  # noqa: SIM115
    except OSError as err:
        hint = "choose another place with XDG_CACHE_HOME"
        raise HostError(f"cannot use the cache {where.parent}: {err.strerror}", hint=hint) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": _digest(path)}


def _write_manifest(where: Path) -> None:
    files = {name: _describe(where / name) for name in (_KERNEL, _INITRD, _SHELL_INITRD)}
    text = json.dumps({"files": files, "shell_init": _shell_id()}, indent=2)
    (where / _MANIFEST).write_text(text + "\n")


def _shell_id() -> str:
    return hashlib.sha256((SHELL_INIT + SHELL_INITTAB).encode()).hexdigest()


def _read_manifest(where: Path) -> dict[str, Any]:
    """The manifest, or {} for one that is not there or not ours."""
    try:
        manifest = json.loads((where / _MANIFEST).read_text())
        files = manifest["files"]
        wanted = {"size", "mtime_ns", "sha256"}
        if all(wanted <= set(files[name]) for name in (_KERNEL, _INITRD, _SHELL_INITRD)):
            return dict(manifest)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def _good(where: Path) -> bool:
    """Whether the cache can be used; brings it up to date where that needs no fetching."""
    if not where.is_dir():
        return False
    manifest = _read_manifest(where)
    if not manifest:
        return _broken(where, _MANIFEST)
    for name, told in manifest["files"].items():
        if not _same(where / name, told):
            return _broken(where, name)
    if manifest.get("shell_init") != _shell_id():
        _make_shell_initrd(where)
        _write_manifest(where)
    return True


def _same(path: Path, told: dict[str, Any]) -> bool:
    """Size and time as written down, or else the same sum."""
    try:
        status = path.stat()
        if status.st_size != told["size"]:
            return False
        return bool(status.st_mtime_ns == told["mtime_ns"] or _digest(path) == told["sha256"])
    except OSError:
        return False


def _broken(where: Path, name: str) -> bool:
    log.warning(f"{where / name} is broken; fetching the guest anew")
    return False


def renew(where: Path, fill: Callable[[Path], None]) -> None:
    """Fill a new directory beside ``where``, and put it in its place when it is whole."""
    fresh = Path(tempfile.mkdtemp(prefix=where.name + ".", dir=where.parent))
    try:
        fresh.chmod(0o755)
        fill(fresh)
        if where.exists():
            shutil.rmtree(where)
        fresh.rename(where)
    except OSError as err:
        raise HostError(f"cannot keep the guest in {where}: {err.strerror}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _fetch_debian(to: Path) -> None:
    work = to / "package"
    work.mkdir()
    apt.unpack(apt.download(DEBIAN_PACKAGE, work), work)
    for name in (_KERNEL, _INITRD):
        source = work / _IMAGES / name
        if not source.is_file():
            raise HostError(f"package {DEBIAN_PACKAGE} has no {_IMAGES}/{name}")
        source.rename(to / name)
    shutil.rmtree(work)
    _make_shell_initrd(to)
    _write_manifest(to)


def _make_shell_initrd(where: Path) -> None:
    extra = [
        regular("lpar-init", SHELL_INIT.encode(), 0o755),
        regular("etc/inittab", SHELL_INITTAB.encode()),
    ]
    (where / _SHELL_INITRD).write_bytes(append_to((where / _INITRD).read_bytes(), extra))
