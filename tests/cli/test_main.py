# SPDX-License-Identifier: GPL-2.0-only
"""The program as a user meets it: output, errors in one line, statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import lpar
from lpar import log
from lpar.cli import main as cli
from lpar.errors import ConfigError, GuestError, InternalError


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lpar {lpar.__version__}\n" * 2


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    for name in cli.command_names():
        assert f"\n  {name}" in out
        assert cli.summary(name)
    assert {"run", "boot", "version", "help"} <= set(cli.command_names())


@pytest.mark.parametrize("args", [["help", "run"], ["run", "--help"], ["help", "boot"]])
def test_help_of_a_command(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        cli.main(args)
    assert info.value.code == 0
    assert "--mem" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "first", "hint"),
    [
        (["fly"], "lpar: error: unknown command 'fly'", "known: boot, cache, help, list, run, sandbox"),
        (["../x"], "lpar: error: unknown command '../x'", "known"),
        (["/dev/null"], "lpar: error: unknown command '/dev/null'", "lpar run /dev/null"),
        (["run"], "lpar: error: no kernel", "lpar boot debian"),
        (["run", "-c", "0", "k"], "lpar: error: 0 CPUs cannot be had", "1 to 2048"),
        (["run", "-m", "64T", "k"], "lpar: error: memory of 64T is too much", "below 63T"),
        (["run", "--cpu", "Z80", "k"], "lpar: error: unknown CPU model 'Z80'", "POWER9"),
        (["run", "--what"], "lpar: error: unrecognized arguments: --what", "lpar run --help"),
        (["boot"], "lpar: error: which guest?", "lpar boot debian"),
        (["boot", "minix"], "lpar: error: unknown guest 'minix'", "lpar boot debian"),
        (["boot", "debian", "-c", "0"], "lpar: error: 0 CPUs cannot be had", "1 to 2048"),
        (["version", "3"], "lpar: error: version takes no argument: 3", ""),
    ],
)
def test_usage_errors(args: list[str], first: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(args) == 2
    lines = lines_of(capsys)
    assert lines[0] == first
    assert hint in (lines[1:] or [""])[0]
    assert len(lines) <= 2


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ConfigError("wrong", hint="do right"), 2, "lpar: error: wrong\n  hint: do right\n"),
        (GuestError("gone"), 255, "lpar: error: gone\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_statuses(
    error: BaseException,
    status: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _command_raises(monkeypatch, error)
    assert cli.main(["version"]) == status
    assert capsys.readouterr().err == text


@pytest.mark.parametrize("error", [ValueError("a\nb"), InternalError("a b"), RecursionError("a b")])
def test_bugs(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("LPAR_DEBUG", raising=False)
    _command_raises(monkeypatch, error)
    assert cli.main(["version"]) == 1
    assert lines_of(capsys)[0] == f"lpar: error: this is a bug in lpar: {type(error).__name__}: a b"
    monkeypatch.setenv("LPAR_DEBUG", "1")
    assert cli.main(["version"]) == 1
    assert lines_of(capsys)[0].startswith("Traceback")


def _command_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def command(args: Sequence[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "find_command", lambda name: command)


def test_as_a_module() -> None:
    source = str(Path(lpar.__file__).parent.parent)
    words = [sys.executable, "-m", "lpar", "version"]
    done = subprocess.run(words, env={"PYTHONPATH": source}, capture_output=True, text=True, check=True)
    assert done.stdout == f"lpar {lpar.__version__}\n"


def test_nobody_reads_the_output() -> None:
    """``lpar help | true``: no traceback."""
    source = str(Path(lpar.__file__).parent.parent)
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "lpar", "help"]
    with open(writer, "wb") as gone:
        env = {"PYTHONPATH": source}
        done = subprocess.run(words, env=env, stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_colours_only_where_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    cli.main(["fly"])
    assert "\033[" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    cli.main(["fly"])
    assert "\033[" not in capsys.readouterr().err


def test_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a pipe one line says what begins; on a terminal one line grows; ``--quiet`` shows nothing."""
    for done in (1, 2):
        log.progress("work", done, 2)
    assert capsys.readouterr().err == "lpar: work\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for done in (1, 2):
        log.progress("work", done, 2)
    assert capsys.readouterr().err == "\r\033[Klpar: work: 50 %\r\033[Klpar: work: 100 %\n"
    log.set_level(quiet=True)
    log.progress("work", 1, 2)
    assert capsys.readouterr().err == ""
