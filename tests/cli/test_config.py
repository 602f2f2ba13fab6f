# SPDX-License-Identifier: GPL-2.0-only
"""The machine's description: what is refused, and JSON there and back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpar.config import MAX_CPUS, MAX_MEMORY, MachineConfig
from lpar.errors import ConfigError

GOOD = MachineConfig(kernel="vmlinux")


def test_defaults_are_good() -> None:
    assert GOOD.validate() is GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": None}, "no kernel"),
        ({"kernel": ""}, "no kernel"),
        ({"kernel": "a\0b"}, "kernel: a NUL character inside"),
        ({"params": "a\0b"}, "kernel parameters: a NUL character inside"),
        ({"cpus": 0}, "0 CPUs cannot be had"),
        ({"cpus": -1}, "-1 CPUs cannot be had"),
        ({"cpus": 100000}, "100000 CPUs cannot be had"),
        ({"cpus": MAX_CPUS + 1}, "2049 CPUs cannot be had"),
        ({"memory": 0}, "no memory"),
        ({"memory": MAX_MEMORY}, "memory of 63T is too much"),
        ({"memory": 64 << 40}, "memory of 64T is too much"),
        ({"memory": (1 << 30) + 1}, "memory of 1073741825 bytes is not a multiple of 64K"),
        ({"cpu": "POWER7"}, "unknown CPU model 'POWER7'"),
        ({"accel": "warp"}, "unknown accelerator 'warp'"),
        ({"console": "serial"}, "unknown console 'serial'"),
        ({"timeout": 0.0}, "timeout of 0 seconds cannot be"),
        ({"timeout": float("nan")}, "timeout of nan seconds cannot be"),
        ({"timeout": float("inf")}, "timeout of inf seconds cannot be"),
        ({"name": ""}, "name '' cannot be used"),
        ({"name": "../x"}, "name '../x' cannot be used"),
        ({"name": "x" * 65}, f"name {'x' * 65!r} cannot be used"),
    ],
)
def test_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as info:
        dataclasses.replace(GOOD, **change).validate()
    assert info.value.message == message
    assert "\n" not in message


@pytest.mark.parametrize(
    "change", [{"cpus": 1}, {"cpus": MAX_CPUS}, {"memory": MAX_MEMORY - 65536}, {"name": "a.b-1_"}]
)
def test_limits(change: dict[str, Any]) -> None:
    dataclasses.replace(GOOD, **change).validate()


@given(
    st.builds(
        MachineConfig,
        kernel=st.text(st.characters(exclude_characters="\0"), min_size=1),
        initrd=st.none() | st.text(st.characters(exclude_characters="\0")),
        params=st.text(st.characters(exclude_characters="\0")),
        memory=st.integers(1, 1 << 20).map(lambda n: n << 16),
        cpus=st.integers(1, MAX_CPUS),
        timeout=st.none() | st.floats(0.001, 1e6),
        dry_run=st.booleans(),
        verbose=st.integers(0, 3),
        cpu=st.sampled_from(["POWER8", "POWER9", "POWER10"]),
    )
)
def test_json_round_trip(config: MachineConfig) -> None:
    assert MachineConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON object is wanted"),
        ('{"kernel": "k", "colour": 1}', "unknown field 'colour'"),
        ('{"kernel": 1}', "kernel is 1, not str | None"),
        ('{"kernel": "k", "cpus": "2"}', "cpus is '2', not int"),
        ('{"kernel": "k", "cpus": true}', "cpus is True, not int"),
        ('{"kernel": "k", "dry_run": 1}', "dry_run is 1, not bool"),
        ('{"kernel": "k", "cpus": 0}', "0 CPUs cannot be had"),
        ("{}", "no kernel"),
    ],
)
def test_json_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as info:
        MachineConfig.from_json(text)
    assert message in info.value.message


def test_json_is_plain() -> None:
    assert json.loads(GOOD.to_json())["memory"] == 1 << 30
