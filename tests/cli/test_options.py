# SPDX-License-Identifier: GPL-2.0-only
"""The grammar of the command line, and the line that starts the same machine again."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpar.cli.options import command_line, config_from, make_parser, with_name
from lpar.config import MachineConfig
from lpar.errors import ConfigError


def parse(*args: str) -> MachineConfig:
    parser = make_parser("run", "")
    parser.add_argument("bare_kernel", nargs="?")
    return config_from(parser.parse_args(list(args)))


def test_kvmtool_letters() -> None:
    config = parse("-k", "vmlinux", "-i", "initrd.gz", "-p", "console=hvc0", "-m", "512", "-c", "2")
    assert config == MachineConfig("vmlinux", "initrd.gz", "console=hvc0", 512 << 20, 2)


def test_long_names_and_other_tools() -> None:
    names = (
        "--kernel k --initrd i --params p --mem 2G --cpus 3 --console hv --name n --cpu power8 --accel interp"
    )
    aliases = names.replace("--initrd", "--initramfs").replace("--params", "--append")
    aliases = aliases.replace("--mem ", "--memory ").replace("--cpus", "--smp").replace("power8", "POWER8")
    config = parse(*names.split())
    assert config == parse(*aliases.split())
    assert (config.cpu, config.name, config.memory, config.params) == ("POWER8", "n", 2 << 30, "p")


def test_bare_kernel() -> None:
    assert parse("vmlinux", "-m", "1G") == parse("-m", "1G", "-k", "vmlinux")
    with pytest.raises(ConfigError, match="two kernels: a and b"):
        parse("-k", "a", "b")


def test_params_are_joined() -> None:
    assert parse("k", "-p", "a=1", "--append", "b", "--params=-c d").params == "a=1 b -c d"


def test_base_params_come_first() -> None:
    parser = make_parser("boot", "")
    base = MachineConfig(kernel="k", params="console=hvc0")
    assert config_from(parser.parse_args(["-p", "x"]), base).params == "console=hvc0 x"
    assert config_from(parser.parse_args([]), base).params == "console=hvc0"


def test_switches() -> None:
    config = parse(
        "k", "--dry-run", "--no-reboot", "--debug-hcall", "--debug-rtas", "--debug-mmio", "-q", "-vv"
    )
    assert config.dry_run and config.no_reboot and config.quiet and config.verbose == 2
    assert config.debug_hcall and config.debug_rtas and config.debug_mmio
    assert parse("k", "--timeout", "2.5", "--dump-dtb", "f", "--hugetlbfs", "default").timeout == 2.5


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("", "no kernel"),
        ("k -c two", "-c: 'two' is not a number of CPUs"),
        ("k -c 0", "0 CPUs cannot be had"),
        ("k -c 100000", "100000 CPUs cannot be had"),
        ("k -m 64T", "memory of 64T is too much"),
        ("k -m much", "-m: 'much' is not a size"),
        ("k --cpu Z80", "unknown CPU model 'Z80'"),
        ("k --timeout soon", "--timeout: 'soon' is not a number of seconds"),
        ("k --colour", "unrecognized arguments: --colour"),
        ("k --mem", "argument -m/--mem: expected one argument"),
        ("k --ker x", "unrecognized arguments: --ker x"),
        ("a b", "unrecognized arguments: b"),
    ],
)
def test_refused(args: str, message: str) -> None:
    with pytest.raises(ConfigError) as info:
        parse(*args.split())
    assert info.value.message == message
    assert info.value.hint or "timeout" in message


def test_default_name() -> None:
    assert with_name(MachineConfig(kernel="k")).name.startswith("guest-")  # type: ignore[union-attr]
    assert with_name(MachineConfig(kernel="k", name="n")).name == "n"


words = st.text(st.characters(exclude_characters="\0"), min_size=1)


@given(
    st.builds(
        MachineConfig,
        kernel=words,
        initrd=st.none() | words,
        params=words | st.just(""),
        memory=st.integers(1, 1 << 20).map(lambda n: n << 16),
        cpus=st.integers(1, 2048),
        name=st.just("n"),
        hugetlbfs=st.none() | words,
        dump_dtb=st.none() | words,
        timeout=st.none() | st.integers(1, 100000).map(float),
        cpu=st.sampled_from(["POWER8", "POWER9", "POWER10"]),
        dry_run=st.booleans(),
        no_reboot=st.booleans(),
        debug_rtas=st.booleans(),
        quiet=st.booleans(),
        verbose=st.integers(0, 3),
    )
)
def test_command_line_runs_again(config: MachineConfig) -> None:
    line = shlex.split(command_line(config))
    assert line[:2] == ["lpar", "run"]
    assert parse(*line[2:]) == config
