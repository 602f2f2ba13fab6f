# SPDX-License-Identifier: GPL-2.0-only
"""A shared folder: what the server's messages do to the host's files.

Every function takes nodes (see :mod:`.nodes`) and single names, raises OSError with the errno that the
guest is to get, and never follows a link.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lpar.backend.ninep.ids import KEEP, Ids, MappedIds, Owner, PassedIds
from lpar.backend.ninep.locks import LockFile
from lpar.backend.ninep.nodes import Node, NodeTable, check_name
from lpar.errors import ConfigError

READDIR_STEP = 32 << 10  #: bytes of host directory entries read at once
XATTR_LIMIT = 64 << 10  #: bytes of one attribute (XATTR_SIZE_MAX of Linux)
ACCESS_LISTS = b"system.posix_acl_"
SPARE_FILES = 128  #: descriptors left to the rest of the process

_O_LARGEFILE_ETC = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KEPT_FLAGS = os.O_ACCMODE | os.O_TRUNC | os.O_APPEND | os.O_DSYNC | os.O_SYNC  # the same on all hosts
_DIRECTORY = 0o200000  # P9_DOTL_DIRECTORY; O_DIRECTORY is another number on arm64 and POWER
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2  # linux/stat.h
_DIRENT = struct.Struct("=QqHB")  # struct linux_dirent64 without the name
_AT_FDCWD = -100

MODE, UID, GID, SIZE, ATIME, MTIME, CTIME, ATIME_SET, MTIME_SET = (1 << bit for bit in range(9))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.getdents64.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
_libc.getdents64.restype = ctypes.c_ssize_t
_libc.utimensat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]


@dataclass(frozen=True, slots=True)
class Changes:
    """What Tsetattr asks for; ``valid`` says which of it, times in (seconds, nanoseconds)."""

    valid: int
    mode: int
    uid: int
    gid: int
    size: int
    atime: tuple[int, int]
    mtime: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory: its number, host type bits >> 12, and where the next one begins."""

    number: int
    type: int
    next: int
    name: bytes


class Export:
    """The folder ``root``.  ``mapped``: ids in attributes (see :mod:`.ids`).  Raises ConfigError."""

    def __init__(self, root: str, *, read_only: bool = False, mapped: bool = False) -> None:
        self.root = root
        self.read_only = read_only
        self.ids: Ids = MappedIds() if mapped else PassedIds()
        try:
            self.nodes = NodeTable(root, _file_limit())
        except OSError as err:
            hint = "--9p wants a folder that exists: --9p FOLDER,TAG"
            raise ConfigError(f"cannot share {root}: {err.strerror}", hint=hint) from None

    def close(self) -> None:
        """Let the folder go."""
        self.nodes.close()

    # -- looking ----------------------------------------------------------------------------

    def owner(self, node: Node, status: os.stat_result) -> Owner:
        """Mode, ids and device number as the guest sees them."""
        return self.ids.owner(node.path, status)

    def readlink(self, node: Node) -> bytes:
        """The text of a link."""
        if node.kind != stat.S_IFLNK:
            raise OSError(errno.EINVAL, "not a link")
        return os.readlink(b"", dir_fd=node.fd)

    def statvfs(self, node: Node) -> os.statvfs_result:
        """Free room."""
        return os.statvfs(node.fd)

    def entries(self, node: Node, fd: int, offset: int) -> Iterator[Entry]:
        """The entries of the directory open as ``fd`` from an offset that an entry's ``next`` gave."""
        os.lseek(fd, offset, os.SEEK_SET)
        buffer = ctypes.create_string_buffer(READDIR_STEP)
        device = node.key[0]
        while True:
            size = _libc.getdents64(fd, buffer, READDIR_STEP)
            if size < 0:
                raise OSError(ctypes.get_errno(), "getdents64")
            if not size:
                return
            for inode, following, kind, name in _dirents(memoryview(buffer)[:size]):
                yield Entry(self.nodes.number(device, inode), self._type(node, kind, name), following, name)

    def _type(self, node: Node, kind: int, name: bytes) -> int:
        if kind << 12 != stat.S_IFREG or not self.ids.specials:
            return kind
        return self.ids.kind_of(os.fsencode(node.path) + b"/" + name, kind << 12) >> 12

    # -- opening ----------------------------------------------------------------------------

    def open(self, node: Node, flags: int) -> int:
        """A descriptor for reading or writing.  Only files and directories: others would block or act."""
        if node.kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(errno.ELOOP if node.kind == stat.S_IFLNK else errno.ENXIO, "not a file")
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            self._check_writable()
        self.nodes.check_room()
        directory = os.O_DIRECTORY if flags & _DIRECTORY else 0
        fd = os.open(node.path, flags & _KEPT_FLAGS | directory | _O_LARGEFILE_ETC)
        self.nodes.open_files += 1
        return fd

    def close_file(self, fd: int) -> None:
        """Close what ``open`` or ``create`` gave."""
        self.nodes.open_files -= 1
        os.close(fd)

    def _check_writable(self) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, "shared read-only")

    # -- making -----------------------------------------------------------------------------

    def create(self, parent: Node, name: bytes, flags: int, owner: Owner) -> tuple[Node, int]:
        """Make a file, or open the one there (unless O_EXCL), and hold it."""
        self._check_new(name)
        self.nodes.check_room()
        try:
            fd = os.open(
                name,
                flags & _KEPT_FLAGS | _O_LARGEFILE_ETC | os.O_CREAT | os.O_EXCL,
                self.ids.host_mode(owner.mode),
                dir_fd=parent.fd,
            )
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            node = self.nodes.child(parent, name)
            return node, self._open_or_drop(node, flags)
        self.nodes.open_files += 1
        try:
            self.ids.created(f"/proc/self/fd/{fd}", owner)
            node = self.nodes.child(parent, name)
        except OSError:
            self.close_file(fd)
            raise
        return node, fd

    def _open_or_drop(self, node: Node, flags: int) -> int:
        try:
            return self.open(node, flags)
        except OSError:
            self.nodes.drop(node)
            raise

    def _check_new(self, name: bytes) -> None:
        check_name(name)
        self._check_writable()

    def mkdir(self, parent: Node, name: bytes, owner: Owner) -> Node:
        """Make a directory and hold it."""
        self._check_new(name)
        os.mkdir(name, self.ids.host_mode(owner.mode), dir_fd=parent.fd)
        return self._made(parent, name, owner)

    def symlink(self, parent: Node, name: bytes, target: bytes, owner: Owner) -> Node:
        """Make a link; its text means something to the guest only."""
        self._check_new(name)
        os.symlink(target, name, dir_fd=parent.fd)
        return self._made(parent, name, owner)

    def mknod(self, parent: Node, name: bytes, owner: Owner) -> Node:
        """Make a special file (mapped: a regular one that says so), or a plain one."""
        self._check_new(name)
        kind = stat.S_IFMT(owner.mode) or stat.S_IFREG
        if kind not in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK):
            raise OSError(errno.EINVAL, "no such kind of file")
        if self.ids.specials:
            os.mknod(name, stat.S_IFREG | self.ids.host_mode(owner.mode), dir_fd=parent.fd)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            raise OSError(errno.EPERM, "a guest makes no device nodes on the host")
        else:
            os.mknod(name, kind | self.ids.host_mode(owner.mode), dir_fd=parent.fd)
        return self._made(
            parent, name, Owner(kind | stat.S_IMODE(owner.mode), owner.uid, owner.gid, owner.rdev)
        )

    def _made(self, parent: Node, name: bytes, owner: Owner) -> Node:
        node = self.nodes.child(parent, name)
        try:
            self.ids.created(node.path, owner)
        except OSError:
            self.nodes.drop(node)
            raise
        return node

    # -- changing ---------------------------------------------------------------------------

    def link(self, node: Node, parent: Node, name: bytes) -> None:
        """One more name for a file."""
        self._check_new(name)
        os.link(node.path, name, dst_dir_fd=parent.fd, follow_symlinks=True)

    def unlink(self, parent: Node, name: bytes, *, directory: bool) -> None:
        """Take an entry away."""
        self._check_new(name)
        if directory:
            os.rmdir(name, dir_fd=parent.fd)
        else:
            os.unlink(name, dir_fd=parent.fd)

    def remove(self, node: Node) -> None:
        """Take away the entry through which a file was reached, if it still is that file."""
        parent = node.parent
        if parent is None:
            raise OSError(errno.EBUSY, "the root of the folder")
        if not self.nodes.is_at(node, parent, node.name):
            raise OSError(errno.ESTALE, "renamed meanwhile")
        self.unlink(parent, node.name, directory=node.kind == stat.S_IFDIR)

    def rename(self, parent: Node, name: bytes, to: Node, new: bytes) -> None:
        """Move an entry."""
        self._check_new(name)
        self._check_new(new)
        os.rename(name, new, src_dir_fd=parent.fd, dst_dir_fd=to.fd)
        self.nodes.drop(self.nodes.child(to, new))  # if it is known, it has moved

    def change(self, node: Node, wanted: Changes) -> None:
        """What chmod, chown, truncate and utimensat do; owner before mode, which a change of owner clears."""
        self._check_writable()
        status = node.status()
        if wanted.valid & (UID | GID):
            uid = wanted.uid if wanted.valid & UID else KEEP
            gid = wanted.gid if wanted.valid & GID else KEEP
            self.ids.chown(node.path, status, uid, gid)
        if wanted.valid & MODE:
            if node.kind == stat.S_IFLNK:
                raise OSError(errno.EOPNOTSUPP, "mode of a link")
            self.ids.chmod(node.path, status, wanted.mode)
        if wanted.valid & SIZE:
            self._truncate(node, wanted.size)
        if wanted.valid & (ATIME | MTIME):
            _set_times(node.path, wanted)

    def _truncate(self, node: Node, size: int) -> None:
        if node.kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, "no file to cut")
        if size >= 1 << 63:
            raise OSError(errno.EFBIG, "too long")
        os.truncate(node.path, size)

    # -- extended attributes ----------------------------------------------------------------

    def get_attribute(self, node: Node, name: bytes) -> bytes:
        """The value of an attribute."""
        self._check_attribute(node, name)
        return os.getxattr(node.path, self.ids.attribute(name))

    def list_attributes(self, node: Node) -> bytes:
        """The names of all attributes, a NUL behind each."""
        names = (self.ids.guest_attribute(os.fsencode(name)) for name in os.listxattr(node.path))
        return b"".join(name + b"\0" for name in names if name)

    def set_attribute(self, node: Node, name: bytes, value: bytes, flags: int) -> None:
        """Set an attribute.  An empty value without flags removes it, as the protocol wants."""
        self._check_writable()
        self._check_attribute(node, name)
        host = self.ids.attribute(name)
        if value or flags:
            os.setxattr(node.path, host, value, flags & (os.XATTR_CREATE | os.XATTR_REPLACE))
        else:
            self._remove_attribute(node, name, host)

    def _remove_attribute(self, node: Node, name: bytes, host: bytes) -> None:
        """An access list that is not there may be removed, as from any file system that has them."""
        try:
            os.removexattr(node.path, host)
        except OSError as err:
            if err.errno not in (errno.ENODATA, errno.EOPNOTSUPP) or not name.startswith(ACCESS_LISTS):
                raise

    def _check_attribute(self, node: Node, name: bytes) -> None:
        """Links and special files carry no user attributes: say so as a file system without them does."""
        if self.ids.specials and node.kind == stat.S_IFLNK:
            raise OSError(errno.EOPNOTSUPP, "no attributes here")
        if b"\0" in name:
            raise OSError(errno.EINVAL, "a NUL in a name")

    # -- locks ------------------------------------------------------------------------------

    def locks(self, node: Node) -> LockFile:
        """The locks of a file, until ``end_locks``."""
        if node.kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(errno.EINVAL, "nothing to lock")
        if not isinstance(node.lock_file, LockFile):
            self.nodes.check_room()
            node.lock_file = LockFile(node.path)
            self.nodes.open_files += 1
            self.nodes.hold(node)
        return node.lock_file

    def end_locks(self, node: Node) -> None:
        """Nobody holds a lock of this file any more."""
        if isinstance(node.lock_file, LockFile):
            node.lock_file.close()
            node.lock_file = None
            self.nodes.open_files -= 1
            self.nodes.drop(node)


def _file_limit() -> int:
    """How many descriptors a folder may use: as many as the host lets a process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 1 << 20) if hard != resource.RLIM_INFINITY else 1 << 20
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            wanted = soft
    return max(wanted - SPARE_FILES, SPARE_FILES)


def _dirents(data: memoryview) -> Iterator[tuple[int, int, int, bytes]]:
    """(inode, next offset, type, name) of each entry that getdents64 wrote."""
    at = 0
    while at < len(data):
        inode, following, length, kind = _DIRENT.unpack_from(data, at)
        name = bytes(data[at + _DIRENT.size : at + length]).partition(b"\0")[0]
        yield inode, following, kind, name
        at += length


def _set_times(path: str, wanted: Changes) -> None:
    times = (ctypes.c_long * 4)(
        *_time(wanted, ATIME, ATIME_SET, wanted.atime), *_time(wanted, MTIME, MTIME_SET, wanted.mtime)
    )
    if _libc.utimensat(_AT_FDCWD, path.encode(), times, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _time(wanted: Changes, change: int, given: int, value: tuple[int, int]) -> tuple[int, int]:
    if not wanted.valid & change:
        return 0, _UTIME_OMIT
    if not wanted.valid & given:
        return 0, _UTIME_NOW
    seconds, nanoseconds = value
    if nanoseconds >= 10**9:
        raise OSError(errno.EINVAL, "no such time")
    return seconds - (1 << 64) if seconds >> 63 else seconds, nanoseconds
