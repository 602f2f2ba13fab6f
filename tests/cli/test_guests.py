# SPDX-License-Identifier: GPL-2.0-only
"""The guest cache, against a package client that we play ourselves."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from lpar.cli import apt, guests
from lpar.cli.cpio import append_to, archive, regular
from lpar.errors import HostError

APT = """\
#!/bin/sh
echo "$@" >> {log}
case "$*" in
*print-uris*) [ -e {index} ] && echo "'http://mirror/x.deb' x.deb 1234 SHA256:0" ; exit 0 ;;
*update*) [ -e {offline} ] && {{ echo "E: mirror is down" >&2; exit 100; }}; touch {index} ;;
*Dir::State*download*) [ -e {offline} ] && {{ echo "E: mirror is down" >&2; exit 100; }}; echo deb > x.deb ;;
*download*) [ -e {stale} ] && {{ echo "E: 404 Not Found" >&2; exit 100; }}
    [ -e {offline} ] && {{ echo "E: mirror is down" >&2; exit 100; }}; echo deb > x.deb ;;
esac
exit 0
"""
DPKG = """\
#!/bin/sh
[ "$1" = -x ] && [ "$(cat $2)" = deb ] || exit 2
[ -e {empty} ] && exit 0
mkdir -p $3/{images}
printf KERNEL > $3/{images}/vmlinux
printf INITRD > $3/{images}/initrd.gz
"""


class Client:
    """A machine's package client whose state are files."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.log, self.index, self.offline = (where / name for name in ("log", "index", "offline"))
        self.stale, self.empty = where / "stale", where / "empty"
        self.index.touch()
        names = {name: getattr(self, name) for name in ("log", "index", "offline", "stale", "empty")}
        self.program("apt-get", APT.format(**names))
        self.program("dpkg-deb", DPKG.format(images=guests._IMAGES, **names))

    def program(self, name: str, text: str) -> None:
        path = self.where / name
        path.write_text(text)
        path.chmod(0o755)

    def downloads(self) -> int:
        words = self.log.read_text().splitlines() if self.log.exists() else []
        return sum("download" in line and "print-uris" not in line for line in words)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    where = tmp_path / "bin"
    where.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{where}:{os.environ['PATH']}")
    return Client(where)


def test_fetched_once(client: Client) -> None:
    guest = guests.debian_installer()
    assert guest.kernel.read_text() == "KERNEL"
    assert guest.initrd.read_text() == "INITRD"
    assert guest.shell_initrd.read_bytes().startswith(b"INITRD\0\0" + b"070701")
    assert "rdinit=/lpar-init" in guest.params
    assert guests.debian_installer() == guest
    assert client.downloads() == 1
    assert {path.name for path in guest.kernel.parent.parent.iterdir()} == {
        "debian-12-ppc64el",
        "debian-12-ppc64el.lock",
    }


@pytest.mark.parametrize("name", ["vmlinux", "initrd.gz", "initrd-shell.gz", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncate", "change", "remove"])
def test_broken_cache_is_fetched_anew(
    client: Client, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = guests.debian_installer().kernel.parent / name
    capsys.readouterr()
    good = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(good[:3] if damage == "truncate" else b"#" + good[1:])
    guest = guests.debian_installer()
    assert client.downloads() == 2
    assert guest.kernel.read_text() == "KERNEL" and guest.initrd.read_text() == "INITRD"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"lpar: warning: {path} is broken; fetching the guest anew"


def test_touched_cache_is_good(client: Client) -> None:
    guest = guests.debian_installer()
    os.utime(guest.kernel, (1, 1))
    guests.debian_installer()
    assert client.downloads() == 1


def test_private_index(client: Client) -> None:
    client.index.unlink()
    guests.debian_installer()
    assert "Dir::State=" in client.log.read_text()
    assert client.downloads() == 1


def test_stale_index(client: Client) -> None:
    """The system's index names a version that the mirror has no more."""
    client.stale.touch()
    guests.debian_installer()
    assert client.downloads() == apt.TRIES + 1


def test_no_such_package(client: Client) -> None:
    client.index.unlink()
    client.offline.touch()
    with pytest.raises(HostError, match="no package debian-installer-12-netboot-ppc64el to be had") as info:
        guests.debian_installer()
    assert info.value.hint and "bookworm" in info.value.hint


def test_mirror_down(client: Client) -> None:
    client.offline.touch()
    with pytest.raises(
        HostError, match="cannot fetch debian-installer-12-netboot-ppc64el: E: mirror is down"
    ):
        guests.debian_installer()
    assert list(guests.cache_dir().glob("debian-12-ppc64el.*")) == [
        guests.cache_dir() / "debian-12-ppc64el.lock"
    ]


def test_package_without_the_files(client: Client) -> None:
    client.empty.touch()
    with pytest.raises(HostError, match=r"has no usr/lib/debian-installer/.*/vmlinux"):
        guests.debian_installer()


@pytest.mark.parametrize("missing", ["apt-get", "dpkg-deb"])
def test_no_package_client(client: Client, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (client.where / missing).unlink()
    monkeypatch.setattr(apt.shutil, "which", lambda name: None if name == missing else f"/bin/{name}")
    with pytest.raises(HostError, match=f"no {missing} on this machine") as info:
        guests.debian_installer()
    assert info.value.hint and "lpar run -k" in info.value.hint


def test_cache_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(HostError, match=r"cannot use the cache .*: Not a directory"):
        guests.debian_installer()


def test_archive_fields() -> None:
    """One member by hand, from Linux's buffer-format document: sizes in hex, all aligned to 4."""
    data = archive([regular("a", b"xyz", 0o755)])
    assert data[:6] == b"070701" and data[14:22] == b"000081ED"
    assert data[54:62] == b"00000003" and data[94:102] == b"00000002"
    assert data[110:112] == b"a\0" and data[112:116] == b"xyz\0"
    assert data[116:122] == b"070701" and data.endswith(b"TRAILER!!!\0\0\0\0")
    assert len(data) % 4 == 0


def test_appended_archive_is_aligned() -> None:
    initrd = gzip.compress(b"hello")
    for cut in range(4):
        whole = append_to(initrd + bytes([1] * cut), [regular("a", b"")])
        assert whole.index(b"070701") % 4 == 0
