# SPDX-License-Identifier: GPL-2.0-only
"""The 9P2000.L server: one session over one shared folder, a message in, its reply out, in order.

Requests and replies are lists of buffers, which may be the guest's own memory: the data of reads and
writes goes between them and the file without a copy of ours; all else is copied first and then looked
at, so a guest that changes its buffers meanwhile changes nothing.  Every request is done when it is
answered, so Tflush has nothing to do.

Any OSError becomes Rlerror with its number.  Bounded: fids, bytes of attributes, locks, open files.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from lpar.backend.ninep import locks, messages
from lpar.backend.ninep.export import XATTR_LIMIT, Changes, Export
from lpar.backend.ninep.ids import Owner
from lpar.backend.ninep.messages import HEADER, MAX_MSIZE, MIN_MSIZE, NOFID, READ_REPLY, WRITE_REQUEST, Kind
from lpar.backend.ninep.nodes import Node

MAX_FIDS = 1 << 18
MAX_ATTRIBUTE_BYTES = 8 << 20  #: that all fids together may hold
MAGIC = 0x01021997  #: V9FS_MAGIC, the type that statfs tells
IOV_MAX = 1024  #: buffers of one read or write; the guest asks again for the rest
AT_REMOVEDIR = 0x200
ALL_BASIC = 0x7FF  #: P9_STATS_BASIC: everything but birth time, generation and data version

Buffers = Sequence[memoryview]

_ATTR = struct.Struct("<Q13sIIIQQQQQQQQQQQQQQQ")
_STATFS = struct.Struct("<IIQQQQQQI")
_ENTRY = struct.Struct("<13sQBH")
_OPENED = struct.Struct("<13sI")


class Fid:
    """One file as the guest has it: its node, and what it is open as."""

    __slots__ = ("attribute", "fd", "flags", "node", "setting", "uid")

    def __init__(self, node: Node, uid: int) -> None:
        self.node = node
        self.uid = uid
        self.fd: int | None = None
        self.flags = 0  #: that ``fd`` was opened with
        self.attribute: bytearray | None = None  #: value of an attribute that is read or written
        self.setting: tuple[bytes, int, int] | None = None  #: name, size, flags of one to be set


class Server:
    """Serves ``export`` to one guest; ``max_msize`` bytes is the longest message."""

    def __init__(self, export: Export, *, max_msize: int = MAX_MSIZE) -> None:
        self.export = export
        self.counters: Counter[str] = Counter()
        self._nodes = export.nodes
        self._max_msize = max_msize
        self._msize = max_msize
        self._fids: dict[int, Fid] = {}
        self._attribute_bytes = 0
        self._locked: set[Node] = set()
        self._do = self._table()

    def _table(self) -> dict[int, Callable[..., bytes]]:
        """The methods by message: ``_getattr`` answers Tgetattr."""
        names = {kind: f"_{kind.name.lower()}" for kind in Kind}
        return {kind: getattr(self, name) for kind, name in names.items() if hasattr(self, name)}

    def close(self) -> None:
        """End the session: everything the guest held is let go."""
        for number in list(self._fids):
            self._forget(number)
        for node in list(self._locked):
            self.export.end_locks(node)
        self._locked.clear()

    # -- state ------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data: fids by the path of their file.  Locks and half-written attributes are not kept."""
        fids = [_saved(number, fid) for number, fid in self._fids.items() if fid.attribute is None]
        return {"msize": self._msize, "fids": fids}

    def restore(self, data: dict[str, Any]) -> None:
        """Find the files again.  A file that is not there any more leaves no fid: the guest gets EBADF."""
        self.close()
        self._msize = data["msize"]
        for number, names, uid, flags in data["fids"]:
            node, found = self._steps_quietly(names)
            if not found:
                self._nodes.drop(node)
                continue
            fid = Fid(node, uid)
            self._add(number, fid)
            if flags is not None:
                self._reopen(fid, flags)

    def _steps_quietly(self, names: list[bytes]) -> tuple[Node, bool]:
        node = self._nodes.hold(self._nodes.root)
        for name in names:
            try:
                after = self._nodes.step(node, name)
            except OSError:
                return node, False
            self._nodes.drop(node)
            node = after
        return node, True

    def _reopen(self, fid: Fid, flags: int) -> None:
        try:
            fid.fd = self.export.open(fid.node, flags & ~os.O_TRUNC)
            fid.flags = flags
        except OSError:
            self.counters["errors"] += 1

    # -- messages ---------------------------------------------------------------------------

    def handle(self, request: Buffers, reply: Buffers) -> int:
        """Do one request; the number of bytes written to ``reply``, 0 if not even an error fits."""
        room = sum(map(len, reply))
        if room < READ_REPLY:
            return 0
        header = _gather(request, 0, HEADER.size)
        if len(header) < HEADER.size:
            return self._error(reply, messages.NOTAG, errno.EINVAL)
        size, kind, tag = HEADER.unpack(header)
        try:
            return self._answer(request, reply, (size, kind, tag), min(room, self._msize))
        except OSError as err:
            return self._error(reply, tag, err.errno or errno.EIO)

    def _answer(self, request: Buffers, reply: Buffers, header: tuple[int, int, int], room: int) -> int:
        size, kind, tag = header
        if not HEADER.size <= size <= min(sum(map(len, request)), self._msize):
            raise messages.Malformed("wrong size")
        end = WRITE_REQUEST if kind == Kind.WRITE else size
        fields: list[Any] = messages.decode(kind, _gather(request, HEADER.size, min(end, size)))
        self.counters[Kind(kind).name.lower()] += 1
        if kind == Kind.READ:
            return self._read_into(reply, tag, room, *fields)
        if kind == Kind.WRITE:
            body = self._write(request, size, *fields)
        else:
            body = self._run(kind, fields, room)
        _scatter(reply, messages.message(kind + 1, tag, body))
        return HEADER.size + len(body)

    def _run(self, kind: int, fields: Sequence[Any], room: int) -> bytes:
        do = self._do.get(kind)
        if do is None:
            raise OSError(errno.EOPNOTSUPP, "no such message")
        body = do(room - READ_REPLY, *fields) if kind == Kind.READDIR else do(*fields)
        if HEADER.size + len(body) > room:
            raise OSError(errno.ENOBUFS, "no room for the reply")
        return body

    def _error(self, reply: Buffers, tag: int, number: int) -> int:
        self.counters["errors"] += 1
        _scatter(reply, messages.message(Kind.LERROR + 1, tag, struct.pack("<I", number)))
        return READ_REPLY

    # -- the session ------------------------------------------------------------------------

    def _version(self, msize: int, version: bytes) -> bytes:
        self.close()
        if msize < MIN_MSIZE:
            raise OSError(errno.EINVAL, "messages too short")
        self._msize = min(msize, self._max_msize)
        known = version == messages.VERSION
        return struct.pack("<I", self._msize) + messages.string(version if known else b"unknown")

    def _attach(self, fid: int, auth: int, user: bytes, name: bytes, uid: int) -> bytes:
        if auth != NOFID:
            raise OSError(errno.EINVAL, "no authentication here")
        root = self._nodes.root
        self._add(fid, Fid(self._nodes.hold(root), uid if uid != NOFID else 0))
        return self._nodes.qid(root.status()).pack()

    def _flush(self, tag: int) -> bytes:
        return b""

    def _add(self, number: int, fid: Fid) -> None:
        """Give a fid to the guest; its node is dropped if that cannot be."""
        problem = 0
        if number in self._fids or number == NOFID:
            problem = errno.EBADF
        elif len(self._fids) >= MAX_FIDS:
            problem = errno.ENFILE
        if problem:
            self._nodes.drop(fid.node)
            raise OSError(problem, "fid")
        self._fids[number] = fid

    def _fid(self, number: int) -> Fid:
        try:
            return self._fids[number]
        except KeyError:
            raise OSError(errno.EBADF, "no such fid") from None

    def _directory(self, number: int) -> Fid:
        fid = self._fid(number)
        if fid.node.kind != stat.S_IFDIR:
            raise OSError(errno.ENOTDIR, "not a directory")
        return fid

    def _forget(self, number: int) -> None:
        fid = self._fids.pop(number)
        if fid.fd is not None:
            self.export.close_file(fid.fd)
        self._drop_attribute(fid)
        self._nodes.drop(fid.node)

    def _clunk(self, number: int) -> bytes:
        """Give a fid back; an attribute that was written whole is set now."""
        fid = self._fid(number)
        try:
            self._finish_attribute(fid)
        finally:
            self._forget(number)
        return b""

    def _walk(self, number: int, new: int, names: list[bytes]) -> bytes:
        fid = self._fid(number)
        if fid.attribute is not None or (fid.fd is not None and names):
            raise OSError(errno.EBUSY, "open")
        if new != number and (new in self._fids or new == NOFID):
            raise OSError(errno.EBADF, "fid in use")
        node, qids = self._steps(fid.node, names)
        if len(qids) < len(names):
            self._nodes.drop(node)
        elif new == number:
            self._nodes.drop(fid.node)
            fid.node = node
        else:
            self._add(new, Fid(node, fid.uid))
        return struct.pack("<H", len(qids)) + b"".join(qids)

    def _steps(self, node: Node, names: list[bytes]) -> tuple[Node, list[bytes]]:
        """Walk as far as it goes; the node reached is held.  Raises the first step's error only."""
        qids: list[bytes] = []
        node = self._nodes.hold(node)
        for name in names:
            try:
                after = self._nodes.step(node, name)
            except OSError:
                if not qids:
                    self._nodes.drop(node)
                    raise
                break
            self._nodes.drop(node)
            node = after
            qids.append(self._nodes.qid(node.status()).pack())
        return node, qids

    # -- files ------------------------------------------------------------------------------

    def _lopen(self, number: int, flags: int) -> bytes:
        fid = self._fid(number)
        if fid.fd is not None or fid.attribute is not None:
            raise OSError(errno.EBUSY, "open already")
        fid.fd, fid.flags = self.export.open(fid.node, flags), flags
        return self._opened(fid.node)

    def _opened(self, node: Node) -> bytes:
        return _OPENED.pack(self._nodes.qid(node.status()).pack(), 0)

    def _lcreate(self, number: int, name: bytes, flags: int, mode: int, gid: int) -> bytes:
        fid = self._directory(number)
        if fid.fd is not None:
            raise OSError(errno.EBUSY, "open already")
        owner = Owner(stat.S_IFREG | stat.S_IMODE(mode), fid.uid, gid, 0)
        node, fd = self.export.create(fid.node, name, flags, owner)
        self._nodes.drop(fid.node)
        fid.node, fid.fd, fid.flags = node, fd, flags
        return self._opened(node)

    def _open_file(self, number: int) -> int:
        fd = self._fid(number).fd
        if fd is None:
            raise OSError(errno.EBADF, "not open")
        return fd

    def _read_into(self, reply: Buffers, tag: int, room: int, number: int, offset: int, count: int) -> int:
        fid = self._fid(number)
        count = min(count, room - READ_REPLY)
        target = _slice(reply, READ_REPLY, READ_REPLY + count)
        if fid.attribute is not None:
            data = bytes(fid.attribute[offset : offset + count])
            _scatter(target, data)
            done = len(data)
        else:
            fd = self._open_file(number)
            _check_offset(offset)
            done = os.preadv(fd, target[:IOV_MAX], offset) if count else 0
        self.counters["bytes read"] += done
        size = READ_REPLY + done
        _scatter(reply, HEADER.pack(size, Kind.READ + 1, tag) + struct.pack("<I", done))
        return size

    def _write(self, request: Buffers, size: int, number: int, offset: int, count: int) -> bytes:
        if count > size - WRITE_REQUEST:
            raise messages.Malformed("less data than told")
        fid = self._fid(number)
        source = _slice(request, WRITE_REQUEST, WRITE_REQUEST + count)
        if fid.setting is not None:
            done = self._write_attribute(fid, offset, b"".join(source))
        else:
            fd = self._open_file(number)
            _check_offset(offset)
            done = os.pwritev(fd, source[:IOV_MAX], offset) if count else 0
        self.counters["bytes written"] += done
        return struct.pack("<I", done)

    def _fsync(self, number: int) -> bytes:
        fd = self._fid(number).fd
        if fd is not None:
            os.fsync(fd)
        return b""

    def _readdir(self, room: int, number: int, offset: int, count: int) -> bytes:
        fid = self._directory(number)
        fd = self._open_file(number)
        _check_offset(offset)
        room = min(room, count)
        out = bytearray()
        for entry in self.export.entries(fid.node, fd, offset):
            kind = messages.QTDIR if entry.type == stat.S_IFDIR >> 12 else messages.QTFILE
            if entry.type == stat.S_IFLNK >> 12:
                kind = messages.QTSYMLINK
            qid = messages.Qid(kind, 0, entry.number).pack()
            packed = _ENTRY.pack(qid, entry.next, entry.type, len(entry.name)) + entry.name
            if len(out) + len(packed) > room:
                break
            out += packed
        return struct.pack("<I", len(out)) + out

    # -- what a file is ---------------------------------------------------------------------

    def _getattr(self, number: int, mask: int) -> bytes:
        node = self._fid(number).node
        status = node.status()
        owner = self.export.owner(node, status)
        times = (t for ns in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns) for t in _split(ns))
        return _ATTR.pack(
            mask & ALL_BASIC,
            self._nodes.qid(status).pack(),
            owner.mode,
            owner.uid,
            owner.gid,
            status.st_nlink,
            owner.rdev,
            status.st_size,
            status.st_blksize,
            status.st_blocks,
            *times,
            *(0, 0, 0, 0),
        )

    def _setattr(
        self, number: int, valid: int, mode: int, uid: int, gid: int, size: int, *times: int
    ) -> bytes:
        changes = Changes(valid, mode, uid, gid, size, (times[0], times[1]), (times[2], times[3]))
        self.export.change(self._fid(number).node, changes)
        return b""

    def _statfs(self, number: int) -> bytes:
        told = self.export.statvfs(self._fid(number).node)
        return _STATFS.pack(
            MAGIC,
            min(told.f_frsize, 0xFFFF_FFFF),
            told.f_blocks,
            told.f_bfree,
            told.f_bavail,
            told.f_files,
            told.f_ffree,
            told.f_fsid & 0xFFFF_FFFF_FFFF_FFFF,
            told.f_namemax,
        )

    def _readlink(self, number: int) -> bytes:
        return messages.string(self.export.readlink(self._fid(number).node))

    # -- names ------------------------------------------------------------------------------

    def _new(self, node: Node) -> bytes:
        """The qid of a file that was just made, and that nobody has a fid of yet."""
        try:
            return self._nodes.qid(node.status()).pack()
        finally:
            self._nodes.drop(node)

    def _symlink(self, number: int, name: bytes, target: bytes, gid: int) -> bytes:
        fid = self._directory(number)
        if b"\0" in target:
            raise OSError(errno.EINVAL, "NUL in a link")
        return self._new(
            self.export.symlink(fid.node, name, target, Owner(stat.S_IFLNK | 0o777, fid.uid, gid, 0))
        )

    def _mkdir(self, number: int, name: bytes, mode: int, gid: int) -> bytes:
        fid = self._directory(number)
        owner = Owner(stat.S_IFDIR | stat.S_IMODE(mode), fid.uid, gid, 0)
        return self._new(self.export.mkdir(fid.node, name, owner))

    def _mknod(self, number: int, name: bytes, mode: int, major: int, minor: int, gid: int) -> bytes:
        fid = self._directory(number)
        owner = Owner(mode, fid.uid, gid, os.makedev(major & 0xFFF, minor & 0xFFFFF))
        return self._new(self.export.mknod(fid.node, name, owner))

    def _link(self, directory: int, number: int, name: bytes) -> bytes:
        self.export.link(self._fid(number).node, self._directory(directory).node, name)
        return b""

    def _renameat(self, old: int, name: bytes, new: int, to: bytes) -> bytes:
        self.export.rename(self._directory(old).node, name, self._directory(new).node, to)
        return b""

    def _rename(self, number: int, directory: int, to: bytes) -> bytes:
        node = self._fid(number).node
        if node.parent is None or not self._nodes.is_at(node, node.parent, node.name):
            raise OSError(errno.ESTALE, "renamed meanwhile")
        self.export.rename(node.parent, node.name, self._directory(directory).node, to)
        return b""

    def _unlinkat(self, number: int, name: bytes, flags: int) -> bytes:
        self.export.unlink(self._directory(number).node, name, directory=bool(flags & AT_REMOVEDIR))
        return b""

    def _remove(self, number: int) -> bytes:
        """Also takes the fid, whether it works or not."""
        try:
            self.export.remove(self._fid(number).node)
        finally:
            if number in self._fids:
                self._forget(number)
        return b""

    # -- extended attributes ----------------------------------------------------------------

    def _xattrwalk(self, number: int, new: int, name: bytes) -> bytes:
        """A fid from which the attribute (or, without a name, the list of all) can be read."""
        fid = self._fid(number)
        value = self.export.get_attribute(fid.node, name) if name else self.export.list_attributes(fid.node)
        self._charge(len(value))
        holder = Fid(self._nodes.hold(fid.node), fid.uid)
        try:
            self._add(new, holder)
        except OSError:
            self._attribute_bytes -= len(value)
            raise
        holder.attribute = bytearray(value)
        return struct.pack("<Q", len(value))

    def _xattrcreate(self, number: int, name: bytes, size: int, flags: int) -> bytes:
        """The fid takes the value by writes, and sets it when it is given back."""
        fid = self._fid(number)
        if fid.fd is not None or fid.attribute is not None:
            raise OSError(errno.EBUSY, "open")
        if size > XATTR_LIMIT:
            raise OSError(errno.E2BIG, "attribute too long")
        self._charge(size)
        fid.attribute = bytearray(size)
        fid.setting = (name, 0, flags)
        return b""

    def _charge(self, size: int) -> None:
        if self._attribute_bytes + size > MAX_ATTRIBUTE_BYTES:
            raise OSError(errno.ENOSPC, "too many attributes in use")
        self._attribute_bytes += size

    def _write_attribute(self, fid: Fid, offset: int, data: bytes) -> int:
        assert fid.setting is not None and fid.attribute is not None
        name, written, flags = fid.setting
        if offset + len(data) > len(fid.attribute):
            raise OSError(errno.ENOSPC, "more than told")
        fid.attribute[offset : offset + len(data)] = data
        fid.setting = (name, max(written, offset + len(data)), flags)
        return len(data)

    def _finish_attribute(self, fid: Fid) -> None:
        if fid.setting is None or fid.attribute is None:
            return
        name, written, flags = fid.setting
        if written != len(fid.attribute):
            raise OSError(errno.EINVAL, "less than told")
        self.export.set_attribute(fid.node, name, bytes(fid.attribute), flags)

    def _drop_attribute(self, fid: Fid) -> None:
        if fid.attribute is not None:
            self._attribute_bytes -= len(fid.attribute)
            fid.attribute = fid.setting = None

    # -- locks ------------------------------------------------------------------------------

    def _lock(
        self, number: int, kind: int, flags: int, start: int, length: int, process: int, client: bytes
    ) -> bytes:
        node = self._fid(number).node
        low, high = locks.span(start, length)
        held = self.export.locks(node)
        self._locked.add(node)
        try:
            status = held.lock(locks.Range(kind, low, high, (process, client)))
        finally:
            if held.empty:
                self._locked.discard(node)
                self.export.end_locks(node)
        return struct.pack("<B", status)

    def _getlock(self, number: int, kind: int, start: int, length: int, process: int, client: bytes) -> bytes:
        node = self._fid(number).node
        low, high = locks.span(start, length)
        held = self.export.locks(node)
        try:
            found, at, size = held.conflict(locks.Range(kind, low, high, (process, client)))
        finally:
            if held.empty:
                self._locked.discard(node)
                self.export.end_locks(node)
        if found == locks.NONE:
            at, size = start, length
        return struct.pack("<BQQI", found, at, size, process) + messages.string(client)


def _saved(number: int, fid: Fid) -> tuple[int, list[bytes], int, int | None]:
    names: list[bytes] = []
    node = fid.node
    while node.parent is not None:
        names.append(node.name)
        node = node.parent
    return number, names[::-1], fid.uid, fid.flags if fid.fd is not None else None


def _split(nanoseconds: int) -> tuple[int, int]:
    seconds, rest = divmod(nanoseconds, 10**9)
    return seconds & 0xFFFF_FFFF_FFFF_FFFF, rest


def _check_offset(offset: int) -> None:
    if offset >= 1 << 63:
        raise OSError(errno.EINVAL, "no such offset")


def _slice(buffers: Buffers, start: int, end: int) -> list[memoryview]:
    """The bytes from ``start`` to ``end`` of all buffers in turn, as windows."""
    out: list[memoryview] = []
    for each in buffers:
        size = len(each)
        if start < size and end > 0:
            out.append(each[max(start, 0) : min(end, size)])
        start -= size
        end -= size
    return out


def _gather(buffers: Buffers, start: int, end: int) -> bytes:
    return b"".join(_slice(buffers, start, end))


def _scatter(buffers: Buffers, data: bytes) -> None:
    """Write ``data`` over the begin of the buffers; it fits."""
    at = 0
    for each in buffers:
        if at >= len(data):
            return
        piece = data[at : at + len(each)]
        each[: len(piece)] = piece
        at += len(piece)
