# SPDX-License-Identifier: GPL-2.0-only
"""Whose files are whose: ids passed through to the host's files, or mapped into an extended attribute.

*Passed*: the guest sees the host's owners and modes, and changes them as far as the host lets us.

*Mapped*: every file on the host belongs to us and only we may use it; mode, owner, group and device
number as the guest knows them stand in ``user.lpar`` of the file.  So no root is needed for a whole root
file system, and a guest can make neither a set-user-ID program nor a device node of the host: special
files are empty regular ones.  Symbolic links carry no such attributes in Linux; they belong to root.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from dataclasses import dataclass
from typing import Protocol

ATTRIBUTE = b"user.lpar"
HIDDEN = b"user.lpar."  #: before the guest's attributes of other name spaces than user.
_STAT = struct.Struct("<IIIQ")  #: mode, uid, gid, rdev
KEEP = -1  #: an id that is not to change


@dataclass(frozen=True, slots=True)
class Owner:
    """What the guest is told beside what the host's stat says: ``mode`` with its type bits."""

    mode: int
    uid: int
    gid: int
    rdev: int


class Ids(Protocol):
    """How owners and modes of files are kept.  ``path`` leads to the very file (``/proc/self/fd/N``)."""

    def owner(self, path: str, status: os.stat_result) -> Owner:
        """What the guest is to see."""

    def kind_of(self, path: bytes, kind: int) -> int:
        """The file type bits of an entry of a directory, whose host type is ``kind``."""

    def created(self, path: str, owner: Owner) -> None:
        """Give a file that was just made its owner and mode."""

    def chmod(self, path: str, status: os.stat_result, mode: int) -> None:
        """Change the mode's permission bits."""

    def chown(self, path: str, status: os.stat_result, uid: int, gid: int) -> None:
        """Change owner and group; KEEP leaves one."""

    def host_mode(self, mode: int) -> int:
        """The permission bits that a new file gets on the host at first."""

    def attribute(self, name: bytes) -> bytes:
        """The host's name for an extended attribute.  Raises OSError for one the guest may not have."""

    def guest_attribute(self, name: bytes) -> bytes | None:
        """The guest's name for the host's; None for one that it does not see."""

    specials: bool  #: whether device nodes, pipes and sockets become regular files


class PassedIds:
    """Owners and modes are the host's."""

    specials = False

    def owner(self, path: str, status: os.stat_result) -> Owner:
        return Owner(status.st_mode, status.st_uid, status.st_gid, status.st_rdev)

    def kind_of(self, path: bytes, kind: int) -> int:
        return kind

    def created(self, path: str, owner: Owner) -> None:
        """The owner is given away where we may (as root), the mode set whatever our umask says."""
        with contextlib.suppress(PermissionError):
            os.chown(path, owner.uid, owner.gid)
        if not stat.S_ISLNK(owner.mode):
            os.chmod(path, stat.S_IMODE(owner.mode))

    def chmod(self, path: str, status: os.stat_result, mode: int) -> None:
        os.chmod(path, stat.S_IMODE(mode))

    def chown(self, path: str, status: os.stat_result, uid: int, gid: int) -> None:
        if (uid, gid) != (status.st_uid, status.st_gid):
            os.chown(path, uid, gid)

    def host_mode(self, mode: int) -> int:
        return stat.S_IMODE(mode) & 0o777

    def attribute(self, name: bytes) -> bytes:
        return name

    def guest_attribute(self, name: bytes) -> bytes | None:
        return name


class MappedIds:
    """Owners, modes and device numbers are kept in an attribute of each file."""

    specials = True

    def owner(self, path: str, status: os.stat_result) -> Owner:
        if stat.S_ISLNK(status.st_mode):
            return Owner(status.st_mode, 0, 0, 0)
        told = stored(path, follow=True)
        return told or Owner(_plain(status.st_mode), 0, 0, 0)

    def kind_of(self, path: bytes, kind: int) -> int:
        if kind != stat.S_IFREG:
            return kind
        told = stored(path)
        return stat.S_IFMT(told.mode) if told else kind

    def created(self, path: str, owner: Owner) -> None:
        if not stat.S_ISLNK(owner.mode):
            store(path, owner)

    def chmod(self, path: str, status: os.stat_result, mode: int) -> None:
        old = self.owner(path, status)
        store(path, Owner(stat.S_IFMT(old.mode) | stat.S_IMODE(mode), old.uid, old.gid, old.rdev))

    def chown(self, path: str, status: os.stat_result, uid: int, gid: int) -> None:
        """As the kernel does, a change of owner takes the set-id bits of a program away."""
        if stat.S_ISLNK(status.st_mode):
            return
        old = self.owner(path, status)
        mode = old.mode & ~(stat.S_ISUID | stat.S_ISGID) if stat.S_ISREG(old.mode) else old.mode
        kept = Owner(mode, old.uid if uid == KEEP else uid, old.gid if gid == KEEP else gid, old.rdev)
        store(path, kept)

    def host_mode(self, mode: int) -> int:
        return 0o700 if stat.S_ISDIR(mode) else 0o600

    def attribute(self, name: bytes) -> bytes:
        if name == ATTRIBUTE or name.startswith(HIDDEN):
            raise OSError(errno.EPERM, "an attribute of lpar's")
        return name if name.startswith(b"user.") else HIDDEN + name

    def guest_attribute(self, name: bytes) -> bytes | None:
        if name.startswith(HIDDEN):
            return name.removeprefix(HIDDEN)
        return name if name.startswith(b"user.") and name != ATTRIBUTE else None


def _plain(mode: int) -> int:
    """The mode of a file that has no attribute (the user put it there): usable by the guest's users."""
    return mode | ((mode & 0o500) >> 3) | ((mode & 0o500) >> 6)


def store(path: str | bytes, owner: Owner) -> None:
    """Write the attribute.  Raises OSError."""
    os.setxattr(path, ATTRIBUTE, _STAT.pack(owner.mode, owner.uid, owner.gid, owner.rdev))


def stored(path: str | bytes, *, follow: bool = False) -> Owner | None:
    """What the attribute of a file says, None if there is none of ours.

    ``follow`` is for the links below /proc/self/fd, which lead to the very file.
    """
    try:
        data = os.getxattr(path, ATTRIBUTE, follow_symlinks=follow)
    except OSError:
        return None
    return Owner(*_STAT.unpack(data)) if len(data) == _STAT.size else None
