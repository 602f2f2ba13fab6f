# SPDX-License-Identifier: GPL-2.0-only
"""The 9P server under any messages: it answers each, keeps inside its folder, and leaks nothing."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lpar.backend.ninep import Export, Server, messages
from lpar.backend.ninep.messages import FIELDS, HEADER, Kind

EXAMPLES = int(os.environ.get("LPAR_FUZZ_EXAMPLES", "150"))
FIDS = st.one_of(st.integers(0, 6), st.just(messages.NOFID), st.integers(0, 2**32 - 1))
NAMES = st.one_of(
    st.sampled_from(
        [
            b"a",
            b"b",
            b"dir",
            b"link",
            b"up",
            b"abs",
            b"pipe",
            b"..",
            b".",
            b"",
            b"a/b",
            b"../outside",
            b"/",
            b"x\0",
            b"user.x",
        ]
    ),
    st.binary(max_size=8),
    st.just(b"n" * 300),
)
NUMBERS = {
    "b": st.integers(0, 255),
    "h": st.integers(0, 0xFFFF),
    "q": st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)),
}
WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 3, 0x40, 0x42, 0xC2, 0x200, 0x241, 0o100644, 0o010644, 0x1FF]), FIDS
)
FLAT = {kind: codes for kind, codes in FIELDS.items() if kind != Kind.VERSION}


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A message that is nearly always well formed, its fids and names often those of real files."""
    kind = draw(st.sampled_from(sorted(FLAT)))
    fields: list[int | bytes | list[bytes]] = []
    for index, code in enumerate(FLAT[kind]):
        if code == "s":
            fields.append(draw(NAMES))
        elif code == "n":
            fields.append(draw(st.lists(NAMES, max_size=4)))
        elif code == "i":
            fields.append(draw(FIDS if index == 0 else st.one_of(FIDS, WORDS)))
        else:
            fields.append(draw(NUMBERS[code]))
    request = messages.encode(kind, draw(NUMBERS["h"]), *fields)
    if kind == Kind.WRITE:
        request = _with_data(request, draw(st.binary(max_size=300)))
    return request


def _with_data(request: bytes, data: bytes) -> bytes:
    body = bytearray(request[HEADER.size :] + data)
    struct.pack_into("<I", body, 12, len(data))
    return messages.message(Kind.WRITE, 1, bytes(body))


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A message cut, lengthened or changed anywhere."""
    request = bytearray(draw(requests()))
    for _ in range(draw(st.integers(1, 3))):
        if request:
            request[draw(st.integers(0, len(request) - 1))] = draw(st.integers(0, 255))
    return bytes(request[: draw(st.integers(0, len(request)))]) + draw(st.binary(max_size=20))


@contextmanager
def shared() -> Iterator[tuple[Path, Server]]:
    """A folder with traps in it, beside one that must stay as it is."""
    top = Path(tempfile.mkdtemp(prefix="lpar-hostile-"))
    outside, root = top / "outside", top / "shared"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "dir").mkdir(parents=True)
    (root / "a").write_bytes(b"content")
    (root / "link").symlink_to("../outside/secret")
    (root / "up").symlink_to("../outside")
    (root / "abs").symlink_to(outside)
    os.mkfifo(root / "pipe")
    export = Export(str(root), mapped=True)
    server = Server(export, max_msize=8192)
    try:
        yield outside, server
        server.close()
        assert (len(export.nodes), export.nodes.open_files) == (1, 0)
    finally:
        export.close()
        shutil.rmtree(top)


def ask(server: Server, request: bytes, room: int) -> bytes:
    reply = bytearray(room)
    size = server.handle([memoryview(request)], [memoryview(reply)])
    assert 0 <= size <= room
    if size:
        assert struct.unpack_from("<I", reply)[0] == size
    return bytes(reply[:size])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.one_of(requests(), requests(), broken(), st.binary(max_size=60)),
            st.sampled_from([8192, 8192, 200, 20, 11, 5, 0]),
        ),
        max_size=60,
    )
)
def test_any_messages(conversation: list[tuple[bytes, int]]) -> None:
    """Nothing raises, nothing outside is touched or told, no descriptor stays."""
    descriptors = len(os.listdir("/proc/self/fd"))
    with shared() as (outside, server):
        before = outside.stat()
        ask(server, messages.encode(Kind.VERSION, 1, 8192, messages.VERSION), 8192)
        for fid in range(3):
            ask(server, messages.encode(Kind.ATTACH, 1, fid, messages.NOFID, b"", b"", 0), 8192)
        for request, room in conversation:
            assert b"secret" not in ask(server, request, room).replace(b"../outside/secret", b"")
        after = outside.stat()
        assert os.listdir(outside) == ["secret"]
        assert (outside / "secret").read_bytes() == b"secret"
        assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
    assert len(os.listdir("/proc/self/fd")) == descriptors


@settings(max_examples=EXAMPLES // 3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(requests(), max_size=80))
def test_any_messages_with_a_host_that_renames(conversation: list[bytes]) -> None:
    """Directories turn into links and back between any two messages."""
    with shared() as (outside, server):
        root = Path(server.export.root)
        ask(server, messages.encode(Kind.VERSION, 1, 8192, messages.VERSION), 8192)
        ask(server, messages.encode(Kind.ATTACH, 1, 0, messages.NOFID, b"", b"", 0), 8192)
        for turn, request in enumerate(conversation):
            _swap(root, turn)
            assert b"secret" not in ask(server, request, 8192).replace(b"../outside/secret", b"")
        assert os.listdir(outside) == ["secret"]


def _swap(root: Path, turn: int) -> None:
    """Exchange a directory and a link that leads out."""
    try:
        (root / "dir").rename(root / "t")
        (root / ("up" if turn % 2 else "abs")).rename(root / "dir")
        (root / "t").rename(root / ("up" if turn % 2 else "abs"))
    except OSError:
        pass  # the guest took one of them away
