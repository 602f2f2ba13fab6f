# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures: a bare engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cpu.runner import Bench


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """1 MiB of RAM, one vCPU in real mode, ``sc 1`` at all vectors; units if the test's module has UNITS."""
    made = Bench(units=getattr(request.module, "UNITS", 0))
    made.fill_vectors()
    yield made
    made.close()
