# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages into a folder, as ``dpkg --unpack`` would, without root: ids go into attributes.

The package database is written as dpkg leaves it after unpacking, so that ``dpkg --configure -a`` in a
guest does the rest.  Formats: deb(5), deb-triggers(5), dpkg's lib/dpkg (status file, info directory).
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lpar.backend.ninep.ids import Owner, store
from lpar.errors import HostError

DPKG = Path("var/lib/dpkg")
#: Directories that are links into /usr since Debian 12 (base-files, usr-is-merged).
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32")
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
_COPY = 1 << 20
_KINDS = {tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}


@dataclass(frozen=True, slots=True)
class Control:
    """A package's own words: the control file's text and the other control files by name."""

    text: str
    files: dict[str, bytes]

    def field(self, name: str) -> str:
        """One field, empty if it is not there."""
        for line in self.text.splitlines():
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return ""

    @property
    def info_name(self) -> str:
        """What its files in dpkg's info directory are called."""
        name = self.field("Package")
        return f"{name}:{self.field('Architecture')}" if self.field("Multi-Arch") == "same" else name


def prepare(root: Path) -> None:
    """An empty root: the merged directories and dpkg's database.  Raises OSError."""
    for name in (*MERGED[:3], "lib64"):
        _folder(root, root / "usr" / name, 0o755)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    for name in ("info", "updates", "triggers", "alternatives", "parts"):
        _folder(root, root / DPKG / name, 0o755)
    for name in ("status", "available", "diversions", "statoverride"):
        (root / DPKG / name).touch()
    (root / DPKG / "info" / "format").write_text("1\n")


def unpack(deb: Path, root: Path) -> Control:
    """Put a package's files below ``root`` and its control files into the database.

    Again is no harm.  Raises HostError for a broken package, OSError for what the host refuses.
    """
    control = _read_control(deb)
    listed: list[str] = []
    with _tar(deb, "--fsys-tarfile") as archive:
        for member in archive:
            listed.append("/" + member.name.removeprefix("./").rstrip("/") if member.name != "." else "/.")
            _extract(archive, member, root)
    _register(control, listed, root)
    return control


def unpack_part(deb: Path, root: Path, below: str) -> None:
    """Put only what a package has ``below`` a directory into ``root``; the database hears nothing of it."""
    with _tar(deb, "--fsys-tarfile") as archive:
        for member in archive:
            if member.name.removeprefix("./").startswith(below):
                _extract(archive, member, root)


class _tar:
    """What dpkg-deb writes, as a tar file; its status is looked at in the end."""

    def __init__(self, deb: Path, what: str) -> None:
        self._deb = deb
        self._process = subprocess.Popen(["dpkg-deb", what, str(deb)], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._stream: IO[bytes] = self._process.stdout

    def __enter__(self) -> tarfile.TarFile:
        try:
            self._archive = tarfile.open(fileobj=self._stream, mode="r|")
        except tarfile.TarError as err:
            self._end()
            raise HostError(f"{self._deb.name} cannot be read: {err}") from None
        return self._archive

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            shutil.copyfileobj(self._stream, io.BytesIO())
        status = self._end()
        if status and kind is None:
            raise HostError(f"{self._deb.name} cannot be unpacked: dpkg-deb status {status}")

    def _end(self) -> int:
        self._stream.close()
        return self._process.wait()


def _read_control(deb: Path) -> Control:
    files: dict[str, bytes] = {}
    with _tar(deb, "--ctrl-tarfile") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is not None:
                files[os.path.basename(member.name)] = stream.read()
    text = files.pop("control", b"").decode()
    if "Package:" not in text:
        raise HostError(f"{deb.name} has no control file")
    return Control(text, files)


def _place(root: Path, name: str) -> Path:
    """Where a member goes: never outside, and through the merged directories."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise HostError(f"a package names {name!r}")
    if len(parts) > 1 and parts[0] in MERGED:
        parts.insert(0, "usr")
    return root.joinpath(*parts)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    where = _place(root, member.name)
    if member.isdir():
        if member.name.strip("./") not in MERGED:
            _folder(root, where, member.mode, member.uid, member.gid)
        return
    _parents(root, where)
    if where.is_symlink() or where.exists():
        where.unlink()
    if member.issym():
        where.symlink_to(member.linkname)
    elif member.islnk():
        os.link(_place(root, member.linkname), where, follow_symlinks=False)
    else:
        _write(archive, member, where)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, where: Path) -> None:
    """A plain file, or a special one, which is an empty file that says so."""
    with where.open("wb") as out:
        stream = archive.extractfile(member) if member.isreg() else None
        if stream is not None:
            shutil.copyfileobj(stream, out, _COPY)
    kind = _KINDS.get(member.type, stat.S_IFREG)
    device = os.makedev(member.devmajor, member.devminor) if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
    where.chmod(0o600)
    store(str(where), Owner(kind | stat.S_IMODE(member.mode), member.uid, member.gid, device))
    os.utime(where, (member.mtime, member.mtime))


def _parents(root: Path, where: Path) -> None:
    parent = where.parent
    if not parent.is_dir():
        _folder(root, parent, 0o755)


def _folder(root: Path, where: Path, mode: int, uid: int = 0, gid: int = 0) -> None:
    if where != root and not where.parent.is_dir():
        _folder(root, where.parent, 0o755)
    if not where.is_dir():
        where.mkdir(mode=0o700)
    store(str(where), Owner(stat.S_IFDIR | stat.S_IMODE(mode), uid, gid, 0))


def write_file(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    """A file of root's below ``root``."""
    where = root / name
    _parents(root, where)
    if where.is_symlink():
        where.unlink()
    where.write_text(text)
    where.chmod(0o600)
    store(str(where), Owner(stat.S_IFREG | mode, 0, 0, 0))


# -- the package database -------------------------------------------------------------------


def _register(control: Control, listed: list[str], root: Path) -> None:
    info = root / DPKG / "info"
    (info / f"{control.info_name}.list").write_text("".join(f"{name}\n" for name in listed))
    for name, data in control.files.items():
        where = info / f"{control.info_name}.{name}"
        where.write_bytes(data)
        mode = 0o755 if name in SCRIPTS else 0o644
        store(str(where), Owner(stat.S_IFREG | mode, 0, 0, 0))


def status_entry(control: Control, root: Path) -> str:
    """The package's part of the status file: unpacked, its configuration files as they are now."""
    lines = control.text.rstrip("\n").splitlines()
    lines.insert(1, "Status: install ok unpacked")
    names = control.files.get("conffiles", b"").decode().split("\n")
    files = [name for name in names if name.startswith("/")]
    if files:
        lines.append("Conffiles:")
        lines += [f" {name} {_md5(_place(root, name))}" for name in files]
    return "\n".join(lines) + "\n\n"


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def triggers(controls: list[Control]) -> dict[str, str]:
    """The files of dpkg's triggers directory: who is interested in what."""
    found: dict[str, list[str]] = {}
    for control in controls:
        for name, asynchronous in _interests(control.files.get("triggers", b"").decode()):
            package = control.field("Package") + ("/noawait" if asynchronous else "")
            if name.startswith("/"):
                found.setdefault("File", []).append(f"{name} {package}")
            else:
                found.setdefault(name, []).append(package)
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in found.items()}


def _interests(text: str) -> Iterator[tuple[str, bool]]:
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) == 2 and words[0] in ("interest", "interest-await", "interest-noawait"):
            yield words[1], words[0] == "interest-noawait"
