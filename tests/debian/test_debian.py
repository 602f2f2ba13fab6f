# SPDX-License-Identifier: GPL-2.0-only
"""Debian, as a user has it: login, packages over the network, commands with files, streams and status."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.debian.conftest import Lpar
from tests.debian.model import OPERATIONS, play_on, program

from lpar.testing.console import Session
from lpar.testing.shell import LPAR

BIG = 100 << 20
LOGIN_LIMIT = 900.0


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """An archive on the host's loopback with one package, a program for ppc64el; its address in the guest."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    source = tmp_path / "hello.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("hello from a package"); return 3; }\n')
    compiler = ["powerpc64le-linux-gnu-gcc", "-static", "-o", str(tree / "usr/bin/lpar-hello"), str(source)]
    subprocess.run(compiler, check=True)
    (tree / "DEBIAN/control").write_text(
        "Package: lpar-hello\nVersion: 1\nArchitecture: ppc64el\nMaintainer: nobody <nobody@example.org>\n"
        "Description: says hello\n"
    )
    site = tmp_path / "site"
    site.mkdir()
    deb = site / "lpar-hello_1_ppc64el.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(deb)], check=True, capture_output=True
    )
    index = (tree / "DEBIAN/control").read_text() + (
        f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\n"
        f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n"
    )
    (site / "Packages.gz").write_bytes(gzip.compress(index.encode()))
    handler = functools.partial(_Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://10.0.2.2:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_login_packages_and_power_off(debian: str, environment: dict[str, str], archive: str) -> None:
    """The login prompt, a session, the network by DHCP, a package from an archive, and a clean end."""
    with Session([*LPAR, "run", debian, "-m", "1G"], terminal=True, env=environment) as session:
        session.expect(r"login: ", LOGIN_LIMIT)
        session.send("root")
        session.expect(r"# ", LOGIN_LIMIT)
        _run(session, "systemctl is-system-running --wait", LOGIN_LIMIT)
        assert "10.0.2.15/24" in _run(session, "ip -4 addr")
        options = f"-o Dir::Etc::sourcelist=/tmp/list -o Dir::Etc::sourceparts=/dev/null {_SPEED}"
        _run(session, f"echo 'deb [trusted=yes] {archive} ./' > /tmp/list")
        _run(session, f"apt-get {options} update && apt-get {options} install -y lpar-hello", 600)
        assert "hello from a package" in _run(session, "lpar-hello", status=3)
        session.send("poweroff")
        assert session.wait(LOGIN_LIMIT) == 0


_SPEED = "-o Acquire::Languages=none -o APT::Sandbox::User=root"


def _run(session: Session, line: str, limit: float = 120, status: int = 0) -> str:
    session.send(f"{line}; echo '<'end $?'>'")
    found = session.expect(r"([\s\S]*?<end (\d+)>)", limit)
    assert int(found[2]) == status, found[1]
    return found[1]


def test_status_streams_and_folder(lpar: Lpar, debian: str, tmp_path: Path) -> None:
    """A project's own tests: their status, what they print where, what they leave in the folder."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "run.sh").write_text("echo out; echo err >&2; cat > got; exit $1\n")
    for status in (0, 7):
        done = lpar("run", debian, "-q", "--", "sh", "-c", f"cd /host/project && sh run.sh {status}",
                    stdin=b"\0\r\n\xff in", cwd=tmp_path)  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (status, b"out\n", b"err\n")
        assert (tmp_path / "project" / "got").read_bytes() == b"\0\r\n\xff in"
    assert lpar("run", debian, "-q", "--", "no-such-program", cwd=tmp_path).returncode == 127


def test_large_streams(lpar: Lpar, debian: str, tmp_path: Path) -> None:
    """5 MB in, the same out, byte by byte."""
    data = os.urandom(5_000_000)
    done = lpar("run", debian, "-q", "--", "cat", stdin=data, cwd=tmp_path)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_100_megabytes_both_ways(lpar: Lpar, debian: str, tmp_path: Path) -> None:
    """Written by the host and summed in the guest, written by the guest and summed here."""
    data = os.urandom(BIG)
    (tmp_path / "from-host").write_bytes(data)
    make = "dd if=/dev/urandom of=from-guest bs=1M count=100 2>/dev/null"
    line = f"sha256sum < from-host; {make}; sha256sum < from-guest"
    done = lpar("run", debian, "-q", "--", "sh", "-c", line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sums = [line.split()[0] for line in done.stdout.decode().splitlines()]
    written = (tmp_path / "from-guest").read_bytes()
    assert len(written) == BIG
    assert sums == [hashlib.sha256(data).hexdigest(), hashlib.sha256(written).hexdigest()]


def test_a_sandbox_changes_nothing(lpar: Lpar, debian: str, data: Path, tmp_path: Path) -> None:
    root = data / "lpar" / "roots" / debian / "root"
    line = "echo changed > /etc/hostname; rm /etc/debian_version; touch /root/new here; cat /etc/hostname"
    done = lpar("sandbox", "-q", debian, "--", "sh", "-c", line, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"changed\n"), done.stderr
    assert (root / "etc/hostname").read_text() == f"{debian}\n"
    assert (root / "etc/debian_version").exists()
    assert not (root / "root/new").exists()
    assert (tmp_path / "here").exists()


def test_random_file_operations_against_a_model(lpar: Lpar, debian: str, tmp_path: Path) -> None:
    """fsx and fsstress in small: the guest's files on 9p and the host's on its own file system end alike."""
    if not shutil.which("powerpc64le-linux-gnu-gcc"):
        pytest.skip("no cross compiler")
    script = program(seed=int(os.environ.get("LPAR_SEED", "1")), count=OPERATIONS)
    shared, model = tmp_path / "shared", tmp_path / "model"
    for folder in (shared, model):
        folder.mkdir()
    (shared / "play.sh").write_text(script)
    done = lpar("run", debian, "-q", "--", "bash", "play.sh", cwd=shared)
    assert done.returncode == 0, done.stderr
    (model / "play.sh").write_text(script)
    expected = play_on(model)
    (shared / "play.sh").unlink()
    (model / "play.sh").unlink()
    assert done.stdout == expected
    assert _tree(shared) == _tree(model)


def _tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file's mode and content, or the text of its link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = "directory"
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return found
