# SPDX-License-Identifier: GPL-2.0-only
"""Debian, as a user has it: login, packages over the network, commands with files, streams and status."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.debian import pool
from tests.debian.conftest import Lpar
from tests.debian.model import OPERATIONS, play_on, program

from lpar.cli.roots import Root
from lpar.testing.console import Session
from lpar.testing.shell import LPAR

BIG = 100 << 20
LOGIN_LIMIT = 900.0  #: seconds
INSTALL_LIMIT = 1500.0


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """An archive on the host's loopback with build-essential and all it needs; its address in the guest."""
    site = tmp_path / "site"
    site.mkdir()
    pool.make(site, ["build-essential"])
    with pool.served(site) as address:
        yield address


@pytest.fixture
def fresh(debian: str, data: Path) -> Iterator[str]:
    """A copy of the root as it was set up, for a guest that changes it; its name."""
    roots, name = data / "lpar" / "roots", f"{debian}-fresh"
    shutil.rmtree(roots / name, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", roots / debian, roots / name], check=True)
    yield name
    shutil.rmtree(roots / name)


PROGRAM = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
    printf("built here: %.6f %d\n", sqrt(argc + 1.0), __BYTE_ORDER__);
    return argc > 1 ? atoi(argv[1]) : 0;
}
"""
MAKEFILE = """\
test: check
	./check $(STATUS)
check: check.c
	$(CC) -O2 -Wall -o $@ $< -lm
"""


def test_a_compiler_from_login_to_power_off(
    fresh: str, environment: dict[str, str], archive: str, lpar: Lpar, tmp_path: Path
) -> None:
    """Login, network by DHCP, a compiler from an archive, programs by it, a clean end; a project's tests."""
    with Session([*LPAR, "run", fresh, "-m", "1G"], terminal=True, env=environment) as session:
        session.expect(r"login: ", LOGIN_LIMIT)
        session.send("root")
        session.expect(r"# ", LOGIN_LIMIT)
        _run(session, "systemctl is-system-running --wait", LOGIN_LIMIT)
        assert "10.0.2.15/24" in _run(session, "ip -4 addr")
        _run(session, f"echo 'deb [trusted=yes] {archive} ./' > /etc/apt/sources.list")
        _run(session, "apt-get update && apt-get install -y build-essential", INSTALL_LIMIT)
        _run(session, f"echo {base64.b64encode(PROGRAM.encode()).decode()} | base64 -d > hello.c")
        _run(session, "gcc -O2 -Wall -o hello hello.c -lm", LOGIN_LIMIT)
        assert "built here: 2.236068 1234" in _run(session, "./hello 3 2 1", status=3)
        session.send("poweroff")
        assert session.wait(LOGIN_LIMIT) == 0
    _make_test(lpar, fresh, tmp_path)


def _make_test(lpar: Lpar, root: str, where: Path) -> None:
    """``lpar run ROOT -- make -C /host/project test``: the status is make's, 0 or not."""
    project = where / "project"
    project.mkdir()
    (project / "check.c").write_text(PROGRAM)
    for status, wanted in ((0, 0), (5, 2)):
        (project / "Makefile").write_text(f"STATUS = {status}\n{MAKEFILE}")
        done = lpar("run", root, "-q", "--", "make", "-C", "/host/project", "test", cwd=where)
        assert done.returncode == wanted, done.stderr
        assert b"built here: 1.732051 1234" in done.stdout
        assert (b"Error 5" in done.stderr) == bool(status)


def _run(session: Session, line: str, limit: float = 120, status: int = 0) -> str:
    session.send(f"{line}; echo '<'end $?'>'")
    found = session.expect(r"<end (\d+)>", limit)
    printed = found.string[: found.start()]
    assert int(found[1]) == status, printed
    return printed


def test_a_disk_image(fresh: str, lpar: Lpar, data: Path, tmp_path: Path) -> None:
    """The same root as an ext4 image on virtio-blk: owners and modes are there; it takes changes."""
    where = data / "lpar" / "roots" / fresh
    Root(fresh, where).set_state(stage="configured")
    assert lpar("setup", "debian", fresh, "--image", "2G").returncode == 0
    look = "findmnt -no SOURCE,FSTYPE /; stat -c '%U %a' /etc/shadow /usr/bin/passwd"
    line = f"{look}; touch /root/new; dpkg -l | wc -l"
    done = lpar("run", fresh, "-q", "--", "sh", "-c", line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    source, *owners, packages = done.stdout.decode().splitlines()
    assert source.split() == ["/dev/vda", "ext4"]
    assert owners == ["root 640", "root 4755"]
    assert int(packages) > 100
    subprocess.run(["e2fsck", "-fn", where / "disk.img"], check=True, capture_output=True)
    assert lpar("run", fresh, "-q", "--", "rm", "/root/new", cwd=tmp_path).returncode == 0


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


def test_random_file_operations_on_a_disk(lpar: Lpar, debian: str, tmp_path: Path) -> None:
    """The same on ext4 over virtio-blk, unmounted and read back every 60 operations."""
    seed, model, image = int(os.environ.get("LPAR_SEED", "2")), tmp_path / "model", tmp_path / "ext4.img"
    model.mkdir()
    image.touch()
    os.truncate(image, 256 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    mount = "mount /dev/vda /mnt && mkdir -p /mnt/top && cd /mnt/top"
    pause = f"cd /; umount /mnt; echo 3 > /proc/sys/vm/drop_caches; {mount}"
    (tmp_path / "play.sh").write_text(f"{mount} || exit\n" + program(seed, OPERATIONS, pause))
    (model / "play.sh").write_text(program(seed, OPERATIONS))
    done = lpar("run", debian, "-q", "-d", str(image), "--", "bash", "play.sh", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == play_on(model)
    subprocess.run(["e2fsck", "-fn", image], check=True, capture_output=True)


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
