# SPDX-License-Identifier: GPL-2.0-only
"""Files of a shared folder, each held by a descriptor that names it and can do no more (O_PATH).

Rules of this file, which keep a guest inside the folder whatever it, or somebody on the host, renames
meanwhile:

* a file is reached from a directory by one name at a time, which is no path: no slash, not ``..``;
* no link is ever followed; a link is a node of its own;
* what has been reached is its descriptor and not its path, so nothing is looked up twice;
* ``..`` is the directory through which a node was reached, never the host's ``..``.
"""

from __future__ import annotations

import errno
import os
import stat

from lpar.backend.ninep.messages import QTDIR, QTFILE, QTSYMLINK, Qid

_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Node:
    """One file.  ``parent`` and ``name`` are how it was last reached; all users share the descriptor."""

    __slots__ = ("fd", "key", "kind", "lock_file", "name", "parent", "path", "users")

    def __init__(self, fd: int, status: os.stat_result, parent: Node | None, name: bytes) -> None:
        self.fd = fd
        self.key = (status.st_dev, status.st_ino)
        self.kind = stat.S_IFMT(status.st_mode)
        self.parent = parent
        self.name = name
        self.path = f"/proc/self/fd/{fd}"
        self.users = 1
        self.lock_file: object = None

    def status(self) -> os.stat_result:
        """The host's stat.  Raises OSError."""
        return os.fstat(self.fd)


class NodeTable:
    """All nodes in use; the same file is the same node, so a guest costs a descriptor for each file."""

    def __init__(self, root: str | os.PathLike[str], limit: int) -> None:
        """Open the folder; raises OSError.  ``limit`` is the number of nodes and open files at most."""
        fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.root = Node(fd, os.fstat(fd), None, b"")
        self.limit = limit
        self.open_files = 0
        self._nodes = {self.root.key: self.root}
        self._devices = {self.root.key[0]: 0}

    def __len__(self) -> int:
        return len(self._nodes)

    def close(self) -> None:
        """Close everything."""
        for node in self._nodes.values():
            os.close(node.fd)
        self._nodes.clear()

    def check_room(self) -> None:
        """Raise OSError(ENFILE) when as many files are in use as may be."""
        if len(self._nodes) + self.open_files >= self.limit:
            raise OSError(errno.ENFILE, "too many files of the shared folder in use")

    def child(self, parent: Node, name: bytes) -> Node:
        """The file ``name`` of a directory; the caller drops it when done.  Raises OSError."""
        check_name(name)
        self.check_room()
        fd = os.open(name, _FLAGS, dir_fd=parent.fd)
        try:
            status = os.fstat(fd)
        except OSError:
            os.close(fd)
            raise
        return self._known(fd, status, parent, name)

    def _known(self, fd: int, status: os.stat_result, parent: Node, name: bytes) -> Node:
        node = self._nodes.get((status.st_dev, status.st_ino))
        if node is None:
            node = Node(fd, status, self.hold(parent), name)
            self._nodes[node.key] = node
            return node
        os.close(fd)
        if node is not self.root and not _is_above(node, parent):
            self._move(node, parent, name)
        return self.hold(node)

    def _move(self, node: Node, parent: Node, name: bytes) -> None:
        old, node.parent, node.name = node.parent, self.hold(parent), name
        if old is not None:
            self.drop(old)

    def step(self, node: Node, name: bytes) -> Node:
        """One step of a walk; the caller drops the result."""
        if name == b"..":
            return self.hold(node.parent or self.root)
        if node.kind != stat.S_IFDIR:
            raise OSError(errno.ENOTDIR, "not a directory")
        return self.child(node, name)

    def hold(self, node: Node) -> Node:
        """One more user."""
        node.users += 1
        return node

    def drop(self, node: Node) -> None:
        """One user less; the last one's leave closes the node, and maybe those above."""
        current: Node | None = node
        while current is not None:
            current.users -= 1
            if current.users or current is self.root:
                return
            del self._nodes[current.key]
            os.close(current.fd)
            current = current.parent

    def qid(self, status: os.stat_result) -> Qid:
        """The guest's number for a file: different for any two, also on several file systems."""
        kind = (
            QTDIR if stat.S_ISDIR(status.st_mode) else QTSYMLINK if stat.S_ISLNK(status.st_mode) else QTFILE
        )
        version = (status.st_mtime_ns ^ status.st_size << 8) & 0xFFFF_FFFF
        return Qid(kind, version, self.number(status.st_dev, status.st_ino))

    def number(self, device: int, inode: int) -> int:
        """A file's path for its qid: the inode number, the device's running number on top."""
        index = self._devices.setdefault(device, len(self._devices))
        return (inode ^ index << 48) & 0xFFFF_FFFF_FFFF_FFFF

    def is_at(self, node: Node, parent: Node, name: bytes) -> bool:
        """Whether the entry still is this file."""
        try:
            status = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == node.key


def _is_above(node: Node, other: Node) -> bool:
    """Whether ``node`` is ``other`` or leads to it: a host that renames meanwhile must not make a ring."""
    current: Node | None = other if node.kind == stat.S_IFDIR else None
    while current is not None:
        if current is node:
            return True
        current = current.parent
    return False


def check_name(name: bytes) -> None:
    """Raise OSError unless ``name`` can be an entry of a directory."""
    if not name or b"/" in name or b"\0" in name:
        raise OSError(errno.EINVAL, "not a file name")
    if name in (b".", b".."):
        raise OSError(errno.EEXIST, "not a name of one's own")
