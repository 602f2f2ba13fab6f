# SPDX-License-Identifier: GPL-2.0-only
"""Builds a bundle: trace all definitions, compile them in parallel, link.

``python -m lpar.cpu.builder KIND`` tells its parent, on standard output, how far it is (what, done, total)
and then the bundle.  One of units comes three times: with the few hundred instructions that a boot runs
(first.txt), so that a guest can start; with those of common programs (common.txt); complete, which the cache
keeps.  Before, all others lead to the handler ``lp_missing``.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pkgutil
import platform
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lpar.cpu import build, compiler, decode_table, handlers, native_flow, pair, stencil
from lpar.cpu.build import HANDLERS, UNITS, Bundle, Progress
from lpar.cpu.compiler import Effort
from lpar.cpu.handlers import Variant
from lpar.cpu.ir import Module
from lpar.cpu.linker import Image
from lpar.cpu.pair import Pairs
from lpar.cpu.stencil_table import GOES_ON, USES_REC, Table
from lpar.cpu.trace import trace_routine
from lpar.isa.routine import ROUTINES

PARTS = ("first.txt", "common.txt")
SHARE = 150  #: variants in a module, so that no core waits long for another
WAITS = "rt_await_poll"  #: the routine that waits for other vCPUs


def import_definitions() -> None:
    """Import every module of the ISA and of the native parts, so that all registrations have happened."""
    for package_name in ("lpar.isa", "lpar.cpu"):
        package = importlib.import_module(package_name)
        for info in pkgutil.iter_modules(package.__path__):
            if package_name == "lpar.isa" or info.name.startswith("native_"):
                importlib.import_module(f"{package_name}.{info.name}")


class Builder:
    """A bundle under construction, in one or two parts."""

    def __init__(self, kind: str, report: Progress) -> None:
        import_definitions()
        self.kind, self.report = kind, report
        self.variants = handlers.all_variants()
        self.image, self.table = Image(), Table()
        self.places: dict[str, int] = {}  # of stencils
        self.pairs: dict[str, Pairs] = {}  # that begin with a variant
        self._parts = 0
        self.used: dict[str, set[str]] = {}  # by each routine
        self.links: list[str] = []
        self.made: set[str] = set()  # names of variants
        self._jobs: list[Future[bytes]] = []
        self._stencils: list[tuple[Future[bytes], Module, dict[str, tuple[int, set[str]]]]] = []
        self._wanted: set[str] = set()  # routines

    # -- parts -----------------------------------------------------------------------------------------
    def part(self, titles: set[str]) -> Bundle:
        """The bundle with some more instructions."""
        self._begin()
        self._trace([v for v in self._left() if handlers.title(v) in titles], Effort.SLOW)
        if self.links and not self.pairs and self._parts:
            self._trace_pairs()
        self._parts += 1
        self._routines()
        return self._finish(complete=False)

    def complete(self) -> Bundle:
        """The whole bundle."""
        self._begin()
        self._trace(self._left(), Effort.FAST)
        self._wanted |= {"rt_" + name for name in ROUTINES}
        self._routines()
        return self._finish(complete=True)

    def _begin(self) -> None:
        """Special handlers, and the routines that Python calls, come with the first part."""
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
        if not self.links:
            self._wanted |= {
                "rt_" + n for n, r in ROUTINES.items() if r.body.__module__.startswith("lpar.cpu.")
            }
            self._specials()

    def _left(self) -> list[Variant]:
        return [v for v in self.variants if v.name not in self.made]

    # -- tracing ---------------------------------------------------------------------------------------
    def _specials(self) -> None:
        """Handlers that belong to no instruction."""
        module = Module(platform.machine())
        for name, body in native_flow.SPECIALS.items():
            self._wanted |= handlers.trace_special(module, name, body, self.kind != UNITS)
        compiler.define_run(module)
        self.links += native_flow.SPECIALS
        self._compile(module, Effort.ROUTINES)

    def _trace(self, variants: Sequence[Variant], effort: Effort) -> None:
        pieces = [variants[at : at + SHARE] for at in range(0, len(variants), SHARE)]
        for number, some in enumerate(pieces):
            if self.kind == UNITS:
                self._trace_stencils(some)
                self._trace_slow(some, effort)
            else:
                self._trace_handlers(some)
            self.made |= {v.name for v in some}
            self.report("tracing", number + 1, len(pieces))

    def _trace_stencils(self, variants: Sequence[Variant]) -> None:
        module = Module(platform.machine())
        flags: dict[str, tuple[int, set[str]]] = {}
        for variant in variants:
            for near in (False, True) if variant.kind else (False,):
                cpu = stencil.trace_stencil(module, variant, near)
                if cpu is not None:
                    what = USES_REC * cpu.uses_rec | GOES_ON * cpu.goes_on
                    flags[stencil.symbol(variant, near)] = what, cpu.used
        job = self._pool.submit(compiler.compile_module, module, Effort.STENCILS)
        self._stencils.append((job, module, flags))

    def _trace_pairs(self) -> None:
        """Two instructions as one stencil."""
        module = Module(platform.machine())
        flags: dict[str, tuple[int, set[str]]] = {}
        for first, pairs, cpus in pair.trace_pairs(module, {handlers.title(v): v for v in self.variants}):
            self.pairs[first.name] = pairs
            for name, cpu in zip(pairs.names, cpus, strict=True):
                flags[name] = USES_REC * cpu.uses_rec | GOES_ON * cpu.goes_on, cpu.used
        job = self._pool.submit(compiler.compile_module, module, Effort.PAIRS)
        self._stencils.append((job, module, flags))

    def _trace_slow(self, variants: Sequence[Variant], effort: Effort) -> None:
        """Handlers for the modes and instructions without stencils."""
        module = Module(platform.machine())
        for variant in variants:
            self._wanted |= handlers.trace(module, variant, "s", words=False).used
            variant.fast = variant.near = variant.slow = variant.name + "s"
        self._compile(module, effort)

    def _trace_handlers(self, variants: Sequence[Variant]) -> None:
        """Fast handlers are too short for passes to matter; slow twins are compiled cheaply."""
        fast, slow = Module(platform.machine()), Module(platform.machine())
        for variant in variants:
            handlers.trace_variant(fast, slow, variant)
        self._compile(fast, Effort.FAST)
        self._compile(slow, Effort.SLOW)

    def _routines(self) -> None:
        """Trace the routines that are wanted, and those that they want."""
        self._wanted |= {name for *_, flags in self._stencils for _, used in flags.values() for name in used}
        modules = [Module(platform.machine()) for _ in range(2)]
        todo = [n for n in self._wanted if n.startswith("rt_")]
        while todo:
            name = todo.pop()[3:]
            if name in self.used:
                continue
            self.used[name] = trace_routine(modules[len(self.used) % 2], ROUTINES[name])
            self.links.append("rt_" + name)
            todo += [n for n in self.used[name] if n.startswith("rt_")]
        for module in modules:
            self._compile(module, Effort.ROUTINES)

    def _compile(self, module: Module, effort: Effort) -> None:
        self._jobs.append(self._pool.submit(compiler.compile_module, module, effort, True))

    # -- linking ---------------------------------------------------------------------------------------
    def _finish(self, *, complete: bool) -> Bundle:
        objects = []
        for number, job in enumerate(self._jobs):
            objects.append(job.result())
            self.report("compiling", number + 1, len(self._jobs))
        self._jobs.clear()
        self._pool.shutdown()
        bundle = Bundle(complete, links=list(self.links), touched=self._closure())
        self._link(bundle, objects)
        bundle.decode = decode_table.decode_image(self.variants, self._offset, self.places)
        bundle.prefix = decode_table.prefix_image(self.variants, self._offset)
        return bundle

    def _link(self, bundle: Bundle, objects: list[bytes]) -> None:
        self.image.add(objects)
        self._add_stencils(bundle.touched)
        bundle.image, bundle.symbols = bytes(self.image.code), dict(self.image.symbols)
        bundle.slots = dict(self.image.slots)
        bundle.stencils, bundle.constants = bytes(self.table.image), bytes(self.table.constants)
        bundle.stencil_symbols = list(self.table.symbols)

    def _offset(self, symbol: str) -> int:
        """Of a handler from the handler base; of those not made yet, where they are waited for."""
        symbols = self.image.symbols
        return symbols.get(symbol, symbols["lp_missing"]) - symbols["lp_decode"]

    def _add_stencils(self, touched: dict[str, set[str]]) -> None:
        """A routine that waits for other vCPUs must not return into a unit, which may be gone by then."""
        for job, module, flags in self._stencils:
            waits = {
                n for n, (_, used) in flags.items() if any(WAITS in touched.get(u[3:], ()) for u in used)
            }
            holes = {name[1:]: node for node, name in module.holes.items()}
            kept = {n: what for n, (what, _) in flags.items() if n not in waits}
            self.table.add_object(job.result(), holes, kept, self.places)
        self._stencils.clear()
        for v in self.variants:
            pairs = self.pairs.get(v.name)
            if pairs and "pairs of " + v.name not in self.places and pairs.names[0] in self.places:
                stencils = [self.places[n] for n in pairs.names]
                self.places["pairs of " + v.name] = self.table.add_pairs(stencils, pairs.about, pairs.kind)

    def _closure(self) -> dict[str, set[str]]:
        """Each routine's fields and routines with those of all routines that it reaches."""
        closed = {}
        for name in self.used:
            seen: set[str] = set()
            todo = [name]
            while todo:
                for each in self.used[todo.pop()] - seen:
                    seen.add(each)
                    if each.startswith("rt_"):
                        todo.append(each[3:])
            closed[name] = seen
        return closed


def bundles(kind: str, report: Progress) -> Iterable[Bundle]:
    """The bundle's first part, if it has one, and the complete bundle."""
    builder = Builder(kind, report)
    if kind == UNITS:
        for name in PARTS:
            yield builder.part(set(Path(__file__).with_name(name).read_text().splitlines()))
    yield builder.complete()


def main(kind: str) -> None:
    """Build, keep, and tell the parent."""
    pipe = io.FileIO(os.dup(1), "w")
    os.dup2(2, 1)
    path = build.bundle_path(kind)
    with contextlib.suppress(OSError), io.BufferedWriter(pipe) as out, build.build_lock(path):
        for bundle in bundles(kind, lambda *about: build.send(out, about)):
            build.send(out, bundle)
            build.write_bundle(path if bundle.complete else path.with_suffix(build.PART), bundle)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else HANDLERS)
