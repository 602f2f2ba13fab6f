# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks``: measure, print the tables, write them to benchmarks/results.

The last line is for scripts: ``ratio 1.23``, lpar's median time to the shell prompt over QEMU's.
The status is 1 when a row failed or gave a wrong result.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import CONTENDERS, DEFAULT, LPAR, Cache
from benchmarks.images import machine_of
from benchmarks.measure import Plan, Sample, Samples, measure, plan_of, run_all
from benchmarks.rows import ALL, BOOT, GROUPS, chosen
from lpar import log
from lpar.errors import LparError

RESULTS = Path(__file__).parent / "results"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="lpar beside QEMU, paired.")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    every = ",".join(GROUPS)
    parser.add_argument("--rows", default=every, metavar="NAMES", help="rows and groups; all: %(default)s")
    parser.add_argument(
        "--contenders",
        default=",".join(DEFAULT),
        metavar="NAMES",
        help=f"of {','.join(CONTENDERS)}; unless given: %(default)s",
    )
    parser.add_argument("--memory", default="1G", metavar="SIZE")
    parser.add_argument("--params", default="", help="more kernel parameters, for all")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    no_warm_up = "no first round of lpar that fills its cache"
    parser.add_argument("--no-warm-up", action="store_true", help=no_warm_up)
    parser.add_argument("--list", action="store_true", help="show the rows and end")
    return parser


def tell(contender: str, row: str, sample: Sample) -> None:
    """Show a figure as soon as it is known."""
    print(f"{contender:<10} {row:<14} {sample.error or f'{sample.figure:8.2f}'}", flush=True)


def warm_up(names: list[str], plan: Plan) -> None:
    """Run lpar once on all rows where a contender wants a warm cache: that is what fills it."""
    warm = [name for name in names if name != "qemu" and CONTENDERS[name].cache != Cache.EMPTY]
    if not warm:
        return
    log.info("a first round of lpar fills its cache")
    for machine, rows in plan:
        for _ in run_all(CONTENDERS[warm[0]], machine, rows):
            pass


def bench(options: argparse.Namespace) -> Samples:
    """Measure and report.  Raises LparError, KeyError for an unknown name."""
    names = options.contenders.split(",")
    contenders = [CONTENDERS[name] for name in names]
    rows = chosen(options.rows)
    plan = plan_of(rows, lambda image, cpus: machine_of(image, cpus, options.memory, options.params))
    if not options.no_warm_up:
        warm_up(names, plan)
    measured = report.compare(measure(contenders, plan, options.rounds, tell))
    samples = {row.name: measured[row.name] for row in rows}
    print(report.text(samples))
    about = report.circumstances(options.rounds, options.memory, options.params)
    report.write(options.results, samples, about)
    return samples


def main() -> int:
    """The command's status."""
    options = parser().parse_args()
    if options.list:
        print("\n".join(f"{row.name:<14} {row.group:<8} {row.about}" for row in ALL.values()))
        return 0
    try:
        samples = bench(options)
    except KeyError as err:
        print(f"bench: no {err}", file=sys.stderr)
        return 2
    except (LparError, OSError) as err:
        print(f"bench: {err}", file=sys.stderr)
        return 1
    wrong = report.errors(samples)
    for line in wrong:
        print(f"bench: {line}", file=sys.stderr)
    speed = report.speed(samples.get(BOOT.name, {}), LPAR)
    if speed:
        print(f"ratio {1 / speed:.2f}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
