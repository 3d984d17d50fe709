"""The programs that scripts/bench_memory.py measures: each is a plugin, and does its work right."""

from __future__ import annotations

from pathlib import Path

import pytest

import pyhost

PROGRAMS = Path(__file__).parents[2] / "scripts" / "programs"

CHECKSUMS = {
    "documents": (2, 1893064514),
    "nbody": (10, -4293813701876),
    "pidigits": (50, 693993751),  # pi ends in ...41971693993751 there
    "scheduler": (10, 836326393585952667),
    "sequences": (10, 4034313986),
}


@pytest.fixture(scope="module")
def host():
    with pyhost.Host(PROGRAMS) as started:
        yield started


def test_every_program_runs_as_a_plugin_with_one_function(host):
    assert {
        plugin.name: (plugin.state, plugin.reason, [function.description.name for function in plugin.functions])
        for plugin in host.plugins()
    } == {name: ("running", "", ["run"]) for name in CHECKSUMS}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_program_returns_its_checksum_every_time(host, name):
    size, checksum = CHECKSUMS[name]
    assert [host.call(f"{name}.run", size) for _ in range(2)] == [checksum, checksum]


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_program_whose_work_is_larger_returns_another_checksum(host, name):
    size, checksum = CHECKSUMS[name]
    assert host.call(f"{name}.run", size + 1) != checksum
