# SPDX-License-Identifier: GPL-2.0-only
"""Root file systems: packages unpacked with mapped ids, the database, images, commands on them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from lpar.backend.ninep.ids import stored
from lpar.cli import image, roots, unpack
from lpar.cli.commands.run import split
from lpar.cli.main import main
from lpar.cli.running import announced, running
from lpar.config import MachineConfig
from lpar.errors import ConfigError, HostError

CONTROL = """\
Package: thing
Version: 1.0
Architecture: {arch}
Multi-Arch: {multi}
Maintainer: nobody <nobody@example.org>
Description: a thing
 for tests
"""


def build(tmp_path: Path, *, multi: str = "foreign", triggers: str = "") -> Path:
    """A package with all kinds of files."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb here")
    tree = tmp_path / "tree"
    for name in ("DEBIAN", "bin", "etc", "usr/share/thing"):
        (tree / name).mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(CONTROL.format(arch="ppc64el", multi=multi))
    (tree / "DEBIAN" / "conffiles").write_text("/etc/thing.conf\n")
    (tree / "DEBIAN" / "triggers").write_text(triggers)
    script = tree / "DEBIAN" / "postinst"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (tree / "bin" / "thing").write_text("program")
    (tree / "bin" / "thing").chmod(0o4755)
    (tree / "etc" / "thing.conf").write_text("setting\n")
    os.link(tree / "bin" / "thing", tree / "bin" / "again")
    (tree / "usr" / "share" / "thing" / "link").symlink_to("/etc/thing.conf")
    deb = tmp_path / "thing.deb"
    words = ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(deb)]
    subprocess.run(words, check=True, capture_output=True)
    return deb


def test_unpack(tmp_path: Path) -> None:
    deb = build(tmp_path)
    root = tmp_path / "root"
    unpack.prepare(root)
    for _ in range(2):  # again is no harm
        control = unpack.unpack(deb, root)
    assert os.readlink(root / "bin") == "usr/bin"
    thing = root / "usr" / "bin" / "thing"
    assert thing.read_text() == "program"
    assert thing.stat().st_ino == (root / "usr" / "bin" / "again").stat().st_ino
    told = stored(str(thing))
    assert told is not None
    assert (told.mode, told.uid, told.gid) == (stat.S_IFREG | 0o4755, 0, 0)
    assert stat.S_IMODE(thing.stat().st_mode) == 0o600, "no set-user-ID program on the host"
    assert os.readlink(root / "usr/share/thing/link") == "/etc/thing.conf"
    entry = unpack.status_entry(control, root)
    assert entry.startswith("Package: thing\nStatus: install ok unpacked\n")
    assert f" /etc/thing.conf {hashlib.md5(b'setting' + bytes([10])).hexdigest()}\n" in entry
    info = root / "var/lib/dpkg/info"
    assert {path.name for path in info.iterdir()} >= {
        "thing.list",
        "thing.postinst",
        "thing.conffiles",
        "format",
    }
    assert "/bin/thing\n" in (info / "thing.list").read_text()


def test_dpkg_knows_what_was_unpacked(tmp_path: Path) -> None:
    """The host's dpkg reads the database, and finds nothing changed."""
    root = tmp_path / "root"
    unpack.prepare(root)
    control = unpack.unpack(build(tmp_path, multi="same"), root)
    assert control.info_name == "thing:ppc64el"
    unpack.write_file(root, "var/lib/dpkg/status", unpack.status_entry(control, root))
    words = [
        "dpkg-query",
        f"--admindir={root}/var/lib/dpkg",
        "-W",
        "-f",
        "${Status} ${Conffiles}",
        "thing:ppc64el",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split()[:3] == ["install", "ok", "unpacked"]
    conf = subprocess.run(["md5sum", root / "etc/thing.conf"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[3:] == ["/etc/thing.conf", conf.stdout.split()[0]]


def test_triggers(tmp_path: Path) -> None:
    text = "interest-noawait ldconfig\ninterest /usr/share/thing\nactivate-noawait other # no interest\n"
    root = tmp_path / "root"
    unpack.prepare(root)
    control = unpack.unpack(build(tmp_path, triggers=text), root)
    assert unpack.triggers([control]) == {"ldconfig": "thing/noawait\n", "File": "/usr/share/thing thing\n"}


def test_a_broken_package(tmp_path: Path) -> None:
    deb = tmp_path / "broken.deb"
    deb.write_bytes(build(tmp_path).read_bytes()[:300])
    with pytest.raises(HostError, match=r"broken\.deb"):
        unpack.unpack(deb, tmp_path / "root")


@pytest.mark.parametrize("name", ["../x", "usr/../../x"])
def test_no_member_leads_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(HostError):
        unpack._place(tmp_path, name)


def test_an_image_has_the_guests_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if image._find("mke2fs") is None or image._find("debugfs") is None:
        pytest.skip("no e2fsprogs here")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root = roots.Root("small", roots.base_dir() / "small")
    root.folder.mkdir(parents=True)
    unpack.prepare(root.folder)
    unpack.unpack(build(tmp_path), root.folder)
    image.make_image(root, 32 << 20)
    assert root.kind == "disk"

    def ask(request: str) -> str:
        words = [image._find("debugfs") or "", "-R", request, str(root.image)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    told = ask('stat "/usr/bin/thing"')
    assert "Mode:  04755" in told
    assert "User:     0   Group:     0" in told
    assert "user.lpar" not in told
    assert (
        subprocess.run(["e2fsck", "-fn", str(root.image)], capture_output=True, check=False).returncode == 0
    )


def test_states_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="is not set up") as caught:
        roots.find("box")
    assert caught.value.hint == "lpar setup debian box"
    root = roots.Root("box", roots.base_dir() / "box")
    root.where.mkdir(parents=True)
    assert roots.is_name("box")
    with pytest.raises(ConfigError, match="not set up to its end"):
        roots.find("box")
    root.set_state(stage=roots.READY)
    assert roots.find("box") == root
    assert [each.name for each in roots.all_roots()] == ["box"]
    with (
        roots.in_use(root, shared=True),
        roots.in_use(root, shared=True),
        pytest.raises(ConfigError, match="in use"),
        roots.in_use(root),
    ):
        pass
    with roots.in_use(root):
        pass


def test_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert main(["list"]) == 0
    assert "no guest runs" in capfd.readouterr().out
    with announced(MachineConfig(kernel="k", name="one")):
        assert [guest["name"] for guest in running()] == ["one"]
        assert main(["list", "--json"]) == 0
        assert json.loads(capfd.readouterr().out)["guests"][0]["pid"] == os.getpid()
    assert running() == []
    (tmp_path / "run" / "lpar" / "dead.1.json").write_text("{}")
    assert running() == []
    assert not (tmp_path / "run" / "lpar" / "dead.1.json").exists()


def test_words_before_and_behind_the_dashes() -> None:
    assert split(["debian", "-m", "1G"]) == (["debian", "-m", "1G"], None)
    assert split(["debian", "--", "ls", "--", "-l"]) == (["debian"], ["ls", "--", "-l"])
    with pytest.raises(ConfigError, match="no command"):
        split(["debian", "--"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "none", "--", "ls"], "a command wants a root"),
        (["sandbox", "none"], "which command"),
        (["sandbox", "none", "--", "ls"], "no guest 'none'"),
        (["setup", "fedora"], "invalid choice"),
        (["setup", "debian", "a/b"], "cannot be used"),
        (["setup", "debian", "--image", "1M"], "too small"),
    ],
)
def test_wrong_input(
    words: list[str],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(words) == 2
    err = capfd.readouterr().err
    assert message in err
    assert "hint:" in err
