# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark itself: what it takes for a result, how it compares, what it writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.contenders import CONTENDERS, Cache, Contender, Machine
from benchmarks.measure import Sample, judge, largest_run, plan_of, run_all
from benchmarks.rows import ALL, BOOT, GROUPS, ROWS, chosen

from benchmarks import build, measure, report

SIEVE = ALL["sieve"]
GOOD = "lparbench row=sieve jobs=1 count=40 seconds=2.000000 sum=1f9f"


def test_a_result_is_the_guests_figure_with_a_checksum() -> None:
    """The count is part of the checksum: other work is another result."""
    assert judge(SIEVE, 0, GOOD, 2.1) == Sample(2.0, "40:1f9f")


@pytest.mark.parametrize(
    ("status", "output", "seconds", "why"),
    [
        (0, GOOD, 20.0, "2.00 s by the guest's clock, 20.00 by the host's"),
        (0, GOOD, 1.0, "2.00 s by the guest's clock, 1.00 by the host's"),
        (0, "Segmentation fault", 2.0, "no result in 'Segmentation fault'"),
        (139, "one\nSegmentation fault", 2.0, "status 139: Segmentation fault"),
    ],
)
def test_what_is_no_result(status: int, output: str, seconds: float, why: str) -> None:
    """A guest whose clock is slow or fast, that prints something else, or that fails."""
    assert judge(SIEVE, status, output, seconds).error == why


def test_answers_of_plain_lines() -> None:
    """A line with an answer must give it."""
    assert not judge(ALL["processes"], 0, "", 1.0).error
    assert "in place of" in judge(ALL["processes"], 0, "sh: out of memory", 1.0).error


def test_a_wrong_checksum_fails_the_row_alone() -> None:
    """The reference is right; a row without a good figure has no speed."""
    samples = {
        "sieve": {"lpar": [Sample(1.0, "a"), Sample(1.0, "b")], "qemu": [Sample(4.0, "a"), Sample(2.0, "a")]},
        "crc32": {"lpar": [Sample(1.0, "c")], "qemu": [Sample(2.0, "c")]},
    }
    checked = report.compare(samples)
    assert report.errors(checked) == ["sieve, lpar: WRONG RESULT: b in place of a"]
    assert report.speed(checked["sieve"], "lpar") is None
    assert report.speed(checked["crc32"], "lpar") == 2.0
    assert report.means(checked, "lpar") == {"integer": (pytest.approx(2.0), 1)}


def test_scaling_is_twice_the_work_over_the_time() -> None:
    """Two jobs on two CPUs in 1.1 times the time of one: 1.82."""
    samples = {"p1-sieve": {"lpar": [Sample(1.0)]}, "p2-sieve": {"lpar": [Sample(1.1)]}}
    assert report.scaling(samples, "p2-sieve", "lpar") == pytest.approx(1.82, abs=0.01)
    assert report.scaling(samples, "p1-sieve", "lpar") is None


def test_choosing_rows() -> None:
    """By name, by group, and a row of two CPUs with its half."""
    assert [row.name for row in chosen("p2-sieve,mix")] == ["mix", "p1-sieve", "p2-sieve"]
    assert {row.group for row in chosen("float,real")} == {"float", "real"}
    assert chosen(",".join(GROUPS)) == list(ROWS)
    with pytest.raises(KeyError):
        chosen("sieves")


def test_rows_of_one_image_share_a_guest_in_their_order() -> None:
    """The plan starts as few guests as there are images and sizes."""
    plan = plan_of(chosen("mix,fft,boot,p2-sieve"), lambda image, cpus: Machine(Path(image), cpus=cpus))
    names = {(str(machine.kernel), machine.cpus): [row.name for row in rows] for machine, rows in plan}
    assert names[("programs", 1)] == ["mix", "fft"]
    assert names[("programs", 2)] == ["p1-sieve", "p2-sieve"]
    assert len(plan) == 3


#: Stands for a guest: a shell that ends at the row "chase".
FAKE_GUEST = r"""
import re, sys
sys.stdout.write("~ # "); sys.stdout.flush()
for line in sys.stdin:
    if "chase" in line:
        sys.exit()
    name = re.search(r"/lparbench (\w+)", line)
    said = f"lparbench row={name[1]} jobs=1 count=1 seconds=0.0 sum=1\n" if name else ""
    sys.stdout.write(f"<out>\n{said}<end 0>\n~ # "); sys.stdout.flush()
"""


def test_a_row_that_brings_the_guest_down_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is measured in another guest."""
    monkeypatch.setattr(measure, "BOOT_TIMEOUT", 20.0)
    fake = Contender("fake", lambda machine: [sys.executable, "-c", FAKE_GUEST])
    found = list(run_all(fake, Machine(Path("none")), chosen("sieve,chase,fft")))
    failures = {row.name: bool(sample.error) for row, sample in found}
    assert failures == {"sieve": False, "chase": True, "fft": False}


def test_a_guest_that_does_not_start_fails_all_its_rows() -> None:
    """Without trying again and again."""
    dead = Contender("dead", lambda machine: ["false"])
    found = list(run_all(dead, Machine(Path("none")), [BOOT, ALL["files"]]))
    assert [row.name for row, sample in found if sample.error] == ["boot", "files"]


def test_contenders_take_turns_at_each_row() -> None:
    """Also when one of them does not start at all."""
    fake = [Contender(name, lambda machine: [sys.executable, "-c", FAKE_GUEST]) for name in ("one", "two")]
    dead = Contender("dead", lambda machine: ["false"])
    found = list(measure.in_turn([fake[0], dead, fake[1]], Machine(Path("none")), chosen("sieve,fft")))
    assert [(each.name, row.name, bool(sample.error)) for each, row, sample in found] == [
        ("one", "sieve", False),
        ("dead", "sieve", True),
        ("two", "sieve", False),
        ("one", "fft", False),
        ("dead", "fft", True),
        ("two", "fft", False),
    ]


def test_cold_caches_are_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``cold`` finds nothing, ``built`` the engine's code alone."""
    engine = tmp_path / "lpar" / "engine"
    engine.mkdir(parents=True)
    (engine / "handlers-1.bin").write_bytes(b"code")
    (engine / "guest-code.bin").write_bytes(b"code")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, files in (("cold", []), ("built", ["handlers-1.bin"])):
        with CONTENDERS[name].environment() as environment:
            fresh = Path(environment["XDG_CACHE_HOME"])
            assert [path.name for path in fresh.rglob("*") if path.is_file()] == files
        assert not fresh.exists()
    assert CONTENDERS["lpar"].cache == Cache.WARM


def test_guest_ram_is_the_largest_run_of_mappings() -> None:
    """Split mappings count together; what the host shares or may not write does not."""
    smaps = [
        "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \nRss: 100 kB",
        "7f1000000000-7f1010000000 rw-p 00000000 00:00 0 \nRss: 3000 kB",
        "7f1010000000-7f1040000000 rw-p 00000000 00:00 0 \nRss: 500 kB",
        "7f2000000000-7f3000000000 r--p 00000000 00:00 0 \nRss: 9000 kB",
        "7f4000000000-7f5000000000 rw-p 00000000 fe:00 77 /a/file\nRss: 9000 kB",
    ]
    assert largest_run("\n".join(smaps)) == 3500 << 10


def test_what_is_written(tmp_path: Path) -> None:
    """JSON with every sample, Markdown with the tables and the failures, a chart that is XML."""
    samples = {
        "sieve": {"lpar": [Sample(1.0, "a")], "qemu": [Sample(3.0, "a")]},
        "fft": {"lpar": [measure.failed("no")], "qemu": [Sample(3.0, "b")]},
    }
    report.write(tmp_path, samples, report.circumstances(1, "1G", ""))
    plain = json.loads((tmp_path / "results.json").read_text())
    assert plain["samples"]["sieve"]["lpar"] == [{"figure": 1.0, "checksum": "a"}]
    words = (tmp_path / "results.md").read_text()
    assert "| sieve | lpar | 1.00 | 1.00 | 1.00 | 3.00 |" in words
    assert "- fft, lpar: no" in words
    chart = ElementTree.fromstring((tmp_path / "speed.svg").read_text())
    assert "3.00" in [element.text for element in chart.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.skipif(shutil.which(build.COMPILER) is None, reason="no cross compiler")
def test_lparbench_has_every_row_and_the_same_sum_by_threads_and_processes() -> None:
    """Under qemu-user; the vector product must be the scalar one."""
    emulator = shutil.which("qemu-ppc64le-static")
    if emulator is None:
        pytest.skip("no qemu-ppc64le-static")
    program = [emulator, str(build.lparbench())]

    def said(*words: str) -> str:
        return subprocess.run([*program, *words], capture_output=True, text=True, check=True).stdout

    rows = {line.split()[0] for line in said("list").splitlines()}
    assert {row.name for row in ROWS if row.line == f"/lparbench {row.name}"} == rows
    sums = {
        said(*words, "1").rpartition("sum=")[2] for words in (["mix"], ["-t", "2", "mix"], ["-j", "2", "mix"])
    }
    assert len(sums) == 1
    assert said("matmul", "1").rpartition("sum=")[2] == said("matmul-vsx", "1").rpartition("sum=")[2]
