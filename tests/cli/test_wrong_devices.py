# SPDX-License-Identifier: GPL-2.0-only
"""Shares and networks that cannot be had: said before the guest runs, in one line with a hint."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lpar.backend import libslirp
from lpar.cli.main import main


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of the loopback that somebody listens to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


WRONG: dict[str, tuple[Callable[[int], list[str]], str]] = {
    "no folder": (lambda _: ["--9p", "/nonexistent,tag"], "cannot share /nonexistent: No such file"),
    "a file": (lambda _: ["--9p", "/etc/passwd,tag"], "cannot share /etc/passwd: Not a directory"),
    "no tag": (lambda _: ["--9p", "/tmp"], "no tag"),
    "port": (lambda port: ["-n", f"user,hostfwd=127.0.0.1:{port}:22"], "cannot listen on TCP port"),
    "mode": (lambda _: ["-n", "bridge"], "unknown mode 'bridge'"),
    "descriptor": (lambda _: ["-n", "tap,fd=999"], "descriptor 999 cannot be used"),
    "addresses": (lambda _: ["-n", "user,guest_ip=10.0.3.1"], "the guest cannot be 10.0.3.1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_device(case: str, taken: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words, message = WRONG[case]
    assert main(["run", str(tmp_path / "kernel"), "-q", *words(taken)]) == 2
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert message in lines[0]
    assert len(lines) == 2
    assert lines[1].startswith("  hint: ")


def test_no_libslirp(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libslirp, "LIBRARY", "libnothing.so.0")
    assert main(["run", str(tmp_path / "kernel"), "-q", "-n", "user"]) == 2
    assert "apt-get install libslirp0" in capfd.readouterr().err
