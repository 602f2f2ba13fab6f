# SPDX-License-Identifier: GPL-2.0-only
"""The 9P server, by a client that does what Linux does, and what it does not."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lpar.backend.ninep import Export, Server, messages
from lpar.backend.ninep import server as server_module
from lpar.backend.ninep.locks import BLOCKED, NONE, READ, SUCCESS, WRITE, LockFile, Range
from lpar.backend.ninep.messages import Kind
from lpar.errors import ConfigError
from lpar.testing.ninep import Client

Serve = Callable[..., Client]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shared folder, beside something that must stay unseen."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("not for the guest")
    shared = tmp_path / "shared"
    shared.mkdir()
    return shared


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    made: list[Server] = []

    def start(**options: object) -> Client:
        made.append(Server(Export(str(folder), **options)))  # type: ignore[arg-type]
        return Client(made[-1])

    yield start
    for each in made:
        each.close()
        assert len(each.export.nodes) == 1, "nodes leak"
        assert each.export.nodes.open_files == 0, "files leak"
        each.export.close()


def fails(number: int) -> pytest.RaisesContext[OSError]:  # type: ignore[name-defined]
    return pytest.raises(OSError, match=f"Errno {number}]")


def test_version_and_unknown_version(serve: Serve) -> None:
    client = serve()
    assert client.version == b"9P2000.L"
    body = client.call(Kind.VERSION, 8192, b"9P2000.u")
    assert body[6:] == b"unknown"
    with fails(errno.EINVAL):
        client.call(Kind.VERSION, 100, b"9P2000.L")


def test_files_of_the_host_are_read(serve: Serve, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "b").write_bytes(bytes(range(256)) * 40)
    client = serve()
    fid = client.open(client.walk(1, b"a", b"b"))
    assert client.read(fid, 0, 20000) == bytes(range(256)) * 40
    assert client.read(fid, 10000, 20000) == (bytes(range(256)) * 40)[10000:]
    assert client.read(fid, 1 << 40) == b""
    with fails(errno.EBADF):
        client.write(fid, b"x")


def test_files_of_the_guest_are_on_the_host(serve: Serve, folder: Path) -> None:
    client = serve()
    fid = client.create(0, b"new", 1, 0o640)
    assert client.write(fid, b"hello", 3) == 5
    client.call(Kind.FSYNC, fid)
    assert (folder / "new").read_bytes() == b"\0\0\0hello"
    assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o640
    assert client.getattr(fid).size == 8


def test_data_goes_to_many_buffers(serve: Serve, folder: Path) -> None:
    """As Linux does it: the header in one buffer, the data in pages."""
    client = serve()
    fid = client.create(0, b"f", 1)
    data = os.urandom(30000)
    head = messages.message(Kind.WRITE, 1, struct.pack("<IQI", fid, 0, len(data)) + data)
    pieces = [
        memoryview(head)[a:b] for a, b in ((0, 5), (5, 24), (24, 4096), (4096, 4097), (4097, len(head)))
    ]
    client.server.handle(pieces, [memoryview(bytearray(11))])
    assert (folder / "f").read_bytes() == data
    reply = bytearray(30011)
    room = [memoryview(reply)[a:b] for a, b in ((0, 3), (3, 11), (11, 20000), (20000, 30011))]
    request = messages.encode(Kind.READ, 1, fid, 0, 30000)
    assert client.server.handle([memoryview(request)], room) == 30011
    assert reply[11:] == data


def test_directories(serve: Serve, folder: Path) -> None:
    client = serve()
    client.call(Kind.MKDIR, 0, b"d", 0o750, 0)
    names = {f"file{number:03}".encode() for number in range(300)}
    client.walk(1, b"d")
    for name in names:
        client.clunk(client.create(1, name, 2))
    fid = client.open(client.walk(2, b"d"))
    entries = list(client.read_directory(fid, 500))
    assert {e.name for e in entries} == names | {b".", b".."}
    assert len(entries) == 302
    assert all(e.type == (4 if e.name.startswith(b".") else 8) for e in entries)
    with fails(errno.ENOTEMPTY):
        client.call(Kind.UNLINKAT, 0, b"d", server_module.AT_REMOVEDIR)
    for name in names:
        client.call(Kind.UNLINKAT, 1, name, 0)
    client.call(Kind.UNLINKAT, 0, b"d", server_module.AT_REMOVEDIR)
    assert list(folder.iterdir()) == []


def test_walks(serve: Serve, folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    client = serve()
    assert client.call(Kind.WALK, 0, 1, [b"a", b"none", b"b"])[0] == 1, "a walk goes as far as it can"
    with fails(errno.EBADF):
        client.getattr(1)
    with fails(errno.ENOENT):
        client.walk(1, b"none")
    client.walk(1, b"a", b"b")
    client.walk(2, b"..", b"..", b"..", b"a", fid=1)
    assert client.getattr(2).qid == client.getattr(client.walk(3, b"a")).qid
    with fails(errno.EBADF):
        client.walk(1, b"a")
    client.walk(1, b"..", fid=1)
    assert client.getattr(1).qid == client.getattr(2).qid
    with fails(errno.EINVAL):
        client.raw(messages.message(Kind.WALK, 1, struct.pack("<IIH", 0, 9, 17) + messages.string(b"a") * 17))


@pytest.mark.parametrize("name", [b"../outside", b"a/b", b"", b".", b"..", b"x\0y", b"/etc/passwd"])
def test_no_name_leads_out(serve: Serve, folder: Path, name: bytes) -> None:
    client = serve()
    for call in (
        lambda: client.call(Kind.MKDIR, 0, name, 0o700, 0),
        lambda: client.call(Kind.SYMLINK, 0, name, b"x", 0),
        lambda: client.call(Kind.UNLINKAT, 0, name, 0),
        lambda: client.call(Kind.UNLINKAT, 0, name, server_module.AT_REMOVEDIR),
        lambda: client.call(Kind.RENAMEAT, 0, name, 0, b"new"),
        lambda: client.create(0, name, 50) or None,
    ):
        with pytest.raises(OSError):
            call()
    if name != b"..":
        with pytest.raises(OSError):
            client.walk(60, name)
    assert (folder.parent / "outside" / "secret").read_text() == "not for the guest"


def test_flags_are_the_protocol_s(serve: Serve, folder: Path) -> None:
    """P9_DOTL_DIRECT is O_DIRECTORY on arm64 and POWER hosts: their number is not on the wire."""
    direct, directory = 0o40000, 0o200000
    (folder / "f").write_text("x")
    (folder / "d").mkdir()
    client = serve()
    assert client.read(client.open(client.walk(1, b"f"), direct)) == b"x"
    client.open(client.walk(2, b"d"), directory)
    with fails(errno.ENOTDIR):
        client.open(client.walk(3, b"f"), directory)


def test_no_link_leads_out(serve: Serve, folder: Path) -> None:
    client = serve()
    client.call(Kind.SYMLINK, 0, b"away", b"../outside", 0)
    (folder / "file").symlink_to("../outside/secret")
    with fails(errno.ENOTDIR):
        client.walk(1, b"away") and client.walk(2, b"secret", fid=1)
    fid = client.walk(3, b"file")
    assert stat.S_ISLNK(client.getattr(fid).mode)
    with fails(errno.ELOOP):
        client.open(fid)
    assert client.call(Kind.READLINK, fid)[2:] == b"../outside/secret"
    with pytest.raises(OSError):
        client.create(0, b"file", 4)
    with fails(errno.EINVAL):
        client.call(Kind.SETATTR, fid, 8, 0, 0, 0, 0, 0, 0, 0, 0)
    client.call(Kind.SETATTR, fid, 0x1B0, 0, 0, 0, 0, 5, 0, 6, 0)
    assert (folder / "file").lstat().st_mtime == 6
    assert (folder.parent / "outside" / "secret").read_text() == "not for the guest"


def test_a_directory_moved_away_by_the_host_shows_nothing_above(serve: Serve, folder: Path) -> None:
    (folder / "d" / "e").mkdir(parents=True)
    client = serve()
    client.walk(1, b"d", b"e")
    (folder / "d" / "e").rename(folder.parent / "outside" / "e")
    client.walk(2, b"..", fid=1)
    assert client.getattr(2).qid == client.getattr(client.walk(3, b"d")).qid
    with pytest.raises(FileNotFoundError):
        client.walk(4, b"..", b"secret", fid=1)


def test_a_name_swapped_for_a_link_meanwhile(serve: Serve, folder: Path) -> None:
    (folder / "d").mkdir()
    client = serve()
    client.walk(1, b"d")
    (folder / "d").rmdir()
    (folder / "d").symlink_to("../outside")
    with pytest.raises(OSError):
        client.walk(2, b"secret", fid=1)
    with pytest.raises(OSError):
        client.create(1, b"made", 3)
    assert [p.name for p in (folder.parent / "outside").iterdir()] == ["secret"]


def test_a_pipe_on_the_host_does_not_block(serve: Serve, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    client = serve()
    with fails(errno.ENXIO):
        client.open(client.walk(1, b"pipe"))
    with fails(errno.ENXIO):
        client.create(0, b"pipe", 2)


def test_rename_and_links(serve: Serve, folder: Path) -> None:
    client = serve()
    client.call(Kind.MKDIR, 0, b"d", 0o755, 0)
    client.walk(1, b"d")
    fid = client.create(0, b"f", 2)
    client.write(fid, b"data")
    client.call(Kind.RENAMEAT, 0, b"f", 1, b"g")
    assert (folder / "d" / "g").read_bytes() == b"data"
    assert client.read(fid) == b"data", "an open file follows its name"
    client.call(Kind.LINK, 0, fid, b"again")
    assert client.getattr(fid).nlink == 2
    client.walk(3, b"again")
    client.call(Kind.RENAME, 3, 1, b"h")
    assert sorted(p.name for p in (folder / "d").iterdir()) == ["g", "h"]
    client.call(Kind.REMOVE, 3)
    assert [p.name for p in (folder / "d").iterdir()] == ["g"]
    with fails(errno.EBADF):
        client.getattr(3)
    client.call(Kind.UNLINKAT, 1, b"g", 0)
    assert client.read(fid) == b"data", "an open file outlives its name"
    with fails(errno.EBUSY):
        client.call(Kind.REMOVE, 0)


def test_times_size_mode(serve: Serve, folder: Path) -> None:
    client = serve()
    fid = client.create(0, b"f", 1)
    client.write(fid, b"12345")
    client.call(Kind.SETATTR, fid, 0x1 | 0x8 | 0x10 | 0x20 | 0x80 | 0x100, 0o600, 0, 0, 2, 11, 12, 13, 14)
    status = (folder / "f").stat()
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (2, 0o600)
    assert (status.st_atime_ns, status.st_mtime_ns) == (11 * 10**9 + 12, 13 * 10**9 + 14)
    client.call(Kind.SETATTR, fid, 0x20, 0, 0, 0, 0, 0, 0, 0, 0)
    status = (folder / "f").stat()
    assert status.st_atime_ns == 11 * 10**9 + 12
    assert status.st_mtime > 1e9


def test_statfs(serve: Serve) -> None:
    told = struct.unpack("<IIQQQQQQI", serve().call(Kind.STATFS, 0))
    assert told[0] == 0x01021997
    assert told[8] == 255


def test_read_only(serve: Serve, folder: Path) -> None:
    (folder / "f").write_text("x")
    client = serve(read_only=True)
    client.walk(1, b"f")
    for call in (
        lambda: client.call(Kind.MKDIR, 0, b"d", 0o700, 0),
        lambda: client.create(0, b"new", 5),
        lambda: client.open(1, os.O_RDWR),
        lambda: client.open(1, os.O_TRUNC),
        lambda: client.call(Kind.UNLINKAT, 0, b"f", 0),
        lambda: client.call(Kind.SETATTR, 1, 1, 0o777, 0, 0, 0, 0, 0, 0, 0),
        lambda: client.call(Kind.RENAMEAT, 0, b"f", 0, b"g"),
        lambda: client.call(Kind.LINK, 0, 1, b"g"),
        lambda: client.set_xattr(1, b"user.x", b"y"),
        lambda: client.call(Kind.REMOVE, 1),
    ):
        with fails(errno.EROFS):
            call()
    assert client.read(client.open(client.walk(2, b"f"))) == b"x"


def test_attributes_of_the_host(serve: Serve, folder: Path) -> None:
    client = serve()
    fid = client.create(0, b"f", 1)
    client.set_xattr(fid, b"user.one", b"1" * 3000)
    assert os.getxattr(folder / "f", "user.one") == b"1" * 3000
    assert client.get_xattr(fid, b"user.one") == b"1" * 3000
    assert client.get_xattr(fid, b"") == b"user.one\0"
    with fails(errno.EEXIST):
        client.set_xattr(fid, b"user.one", b"2", os.XATTR_CREATE)
    client.set_xattr(fid, b"user.one", b"")
    with fails(errno.ENODATA):
        client.get_xattr(fid, b"user.one")


def test_an_attributes_name_has_no_nul(serve: Serve) -> None:
    client = serve()
    fid = client.create(0, b"f", 1)
    with fails(errno.EINVAL):
        client.get_xattr(fid, b"user.x\0")
    with fails(errno.EINVAL):
        client.set_xattr(fid, b"\0", b"y")


def test_attributes_are_bounded(serve: Serve) -> None:
    client = serve()
    with fails(errno.E2BIG):
        client.set_xattr(0, b"user.x", bytes(65537))
    with fails(errno.ENOSPC):
        for number in range(10, 1000):
            client.call(Kind.XATTRCREATE, client.walk(number), b"user.x", 65536, 0)


def test_fids_are_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_FIDS", 50)
    client = serve()
    with fails(errno.ENFILE):
        for number in range(1, 100):
            client.walk(number)
    client.clunk(1)
    client.walk(1)


def test_open_files_are_bounded(serve: Serve, folder: Path) -> None:
    for number in range(30):
        (folder / str(number)).touch()
    client = serve()
    client.server.export.nodes.limit = 20  # type: ignore[attr-defined]
    with fails(errno.ENFILE):
        for number in range(30):
            client.walk(number + 1, str(number).encode())
    assert client.getattr(5)


# -- mapped ids -----------------------------------------------------------------------------


def test_mapped_owner_mode_and_devices(serve: Serve, folder: Path) -> None:
    client = serve(mapped=True)
    fid = client.create(0, b"f", 1, 0o4755)
    told = client.getattr(fid)
    assert (stat.S_IMODE(told.mode), told.uid, told.gid) == (0o4755, 0, 0)
    assert stat.S_IMODE((folder / "f").stat().st_mode) == 0o600
    client.call(Kind.SETATTR, fid, 2 | 4, 0, 1234, 0xFFFF_FFF0, 0, 0, 0, 0, 0)
    told = client.getattr(fid)
    assert (stat.S_IMODE(told.mode), told.uid, told.gid) == (0o755, 1234, 0xFFFF_FFF0)
    client.call(Kind.SETATTR, fid, 1, 0o000, 0, 0, 0, 0, 0, 0, 0)
    assert stat.S_IMODE(client.getattr(fid).mode) == 0
    assert client.read(client.open(client.walk(2, b"f"))) == b"", "the guest's root reads what has no mode"
    client.call(Kind.MKNOD, 0, b"null", stat.S_IFCHR | 0o666, 1, 3, 0)
    told = client.getattr(client.walk(3, b"null"))
    assert (told.mode, told.rdev) == (stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert stat.S_ISREG((folder / "null").stat().st_mode)
    entries = {e.name: e.type for e in client.read_directory(client.open(client.walk(4)))}
    assert (entries[b"null"], entries[b"f"]) == (stat.S_IFCHR >> 12, stat.S_IFREG >> 12)


def test_mapped_attributes(serve: Serve, folder: Path) -> None:
    client = serve(mapped=True)
    fid = client.create(0, b"f", 1)
    client.set_xattr(fid, b"security.capability", b"cap")
    client.set_xattr(fid, b"user.x", b"y")
    assert client.get_xattr(fid, b"security.capability") == b"cap"
    assert sorted(client.get_xattr(fid, b"").split(b"\0")) == [b"", b"security.capability", b"user.x"]
    for name in (b"user.lpar", b"user.lpar.security.capability"):
        with fails(errno.EPERM):
            client.set_xattr(fid, name, b"forged")


def test_mapped_shows_plain_files_as_roots(serve: Serve, folder: Path) -> None:
    (folder / "f").touch(0o600)
    client = serve(mapped=True)
    told = client.getattr(client.walk(1, b"f"))
    assert (told.uid, told.gid) == (0, 0)
    client.call(Kind.SYMLINK, 0, b"l", b"f", 7)
    client.walk(2, b"l")
    client.call(Kind.SETATTR, 2, 2 | 4, 0, 5, 5, 0, 0, 0, 0, 0)
    assert client.getattr(2).uid == 0


def test_passed_refuses_devices(serve: Serve) -> None:
    client = serve()
    with fails(errno.EPERM):
        client.call(Kind.MKNOD, 0, b"null", stat.S_IFCHR | 0o666, 1, 3, 0)
    client.call(Kind.MKNOD, 0, b"pipe", stat.S_IFIFO | 0o666, 0, 0, 0)
    assert stat.S_ISFIFO(client.getattr(client.walk(1, b"pipe")).mode)


# -- locks ----------------------------------------------------------------------------------


def lock(client: Client, fid: int, kind: int, start: int, length: int, who: int = 1) -> int:
    return client.call(Kind.LOCK, fid, kind, 0, start, length, who, b"guest")[0]


def test_locks_between_guests(serve: Serve) -> None:
    one, two = serve(), serve()
    one.create(0, b"f", 1)
    two.walk(1, b"f")
    assert lock(one, 1, WRITE, 0, 0) == SUCCESS
    assert lock(two, 1, READ, 5, 5) == BLOCKED
    found = struct.unpack_from("<BQQ", two.call(Kind.GETLOCK, 1, READ, 5, 5, 1, b"guest"))
    assert found == (WRITE, 0, 0)
    assert lock(one, 1, NONE, 0, 10) == SUCCESS
    assert lock(two, 1, WRITE, 0, 10) == SUCCESS
    assert lock(one, 1, READ, 9, 1) == BLOCKED
    found = struct.unpack_from("<BQQ", one.call(Kind.GETLOCK, 1, WRITE, 0, 100, 1, b"guest"))
    assert found == (WRITE, 0, 10)
    assert lock(two, 1, NONE, 0, 0) == SUCCESS
    assert one.call(Kind.GETLOCK, 1, WRITE, 0, 5, 1, b"guest")[0] == NONE


def test_processes_of_one_guest_share_with_the_host(tmp_path: Path) -> None:
    """What one process unlocks stays locked against the host while another holds it."""
    path = tmp_path / "f"
    path.touch()
    ours, host = LockFile(str(path)), LockFile(str(path))
    try:
        a, b, other = (1, b"g"), (2, b"g"), (9, b"h")
        assert ours.lock(Range(WRITE, 0, 100, a)) == SUCCESS
        assert ours.lock(Range(READ, 50, 60, b)) == SUCCESS
        assert ours.lock(Range(NONE, 0, 1000, a)) == SUCCESS
        assert host.lock(Range(WRITE, 0, 50, other)) == SUCCESS
        assert host.lock(Range(READ, 55, 56, other)) == SUCCESS
        assert host.lock(Range(WRITE, 55, 56, other)) == BLOCKED
        assert ours.lock(Range(NONE, 0, 1000, b)) == SUCCESS
        assert ours.empty
        assert host.lock(Range(WRITE, 55, 56, other)) == SUCCESS
    finally:
        ours.close()
        host.close()


# -- wrong input ----------------------------------------------------------------------------


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Export(str(tmp_path / "none"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Not a directory"):
        Export(str(tmp_path / "file"))


def test_a_folder_that_vanishes(serve: Serve, folder: Path) -> None:
    client = serve()
    folder.rmdir()
    with fails(errno.ENOENT):
        client.create(0, b"f", 1)
    with fails(errno.ENOENT):
        list(client.read_directory(client.open(client.walk(2))))


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\x07\0\0\0",
        b"\xff\xff\xff\xff\x64\0\0",
        b"\x06\0\0\0\x18\0\0",
        messages.message(Kind.GETATTR, 1, b"\0"),
        messages.message(Kind.LERROR, 1, b""),
        messages.message(255, 1, b""),
        messages.message(Kind.WALK, 1, struct.pack("<IIHH", 0, 1, 1, 60000)),
        messages.message(Kind.WRITE, 1, struct.pack("<IQI", 0, 0, 0xFFFF_FFFF)),
        messages.message(Kind.AUTH, 1, struct.pack("<IHHI", 0, 0, 0, 0)),
    ],
)
def test_malformed(serve: Serve, request_: bytes) -> None:
    server = serve().server
    reply = bytearray(100)
    assert server.handle([memoryview(request_)], [memoryview(reply)]) == 11
    assert reply[4] == 7
    assert server.handle([memoryview(request_)], [memoryview(reply)[:10]]) == 0


def test_little_room_for_the_reply(serve: Serve) -> None:
    server = serve().server
    for kind, fields in ((Kind.GETATTR, (0, 0)), (Kind.STATFS, (0,))):
        reply = bytearray(20)
        request = messages.encode(kind, 1, *fields)
        assert server.handle([memoryview(request)], [memoryview(reply)]) == 11
        assert struct.unpack_from("<I", reply, 7)[0] == errno.ENOBUFS
