"""The tightest limit counts: the machine's, and every control group's above this process."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from restauro.errors import EngineError
from restauro.restore import memory
from restauro.restore.memory import free_bytes, host_free_bytes

GIB = 2**30


@pytest.fixture
def machine(tmp_path):
    """Write a little /proc and /sys, and give a function that adds files to it."""

    def add(path: str, text: object) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    add(
        "proc/meminfo",
        f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable:   {8 * GIB // 1024} kB\nHugePages_Total: 0",
    )
    add.root = tmp_path
    return add


def group(add, folder, limit, used, inactive=0, version=2):
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    add(f"{folder}/{names[0]}", limit)
    add(f"{folder}/{names[1]}", used)
    add(f"{folder}/memory.stat", f"anon {used - inactive}\n{names[2]} {inactive}")


def test_without_groups_the_machine_counts(machine):
    assert host_free_bytes(machine.root) == 8 * GIB


def test_version_2_takes_the_tightest_group_above_the_process(machine):
    machine("proc/self/cgroup", "0::/user/job")
    group(machine, "sys/fs/cgroup/user", 4 * GIB, 3 * GIB, inactive=GIB)
    group(machine, "sys/fs/cgroup/user/job", 6 * GIB, GIB)
    assert host_free_bytes(machine.root) == 2 * GIB


def test_version_2_without_a_limit(machine):
    machine("proc/self/cgroup", "0::/")
    group(machine, "sys/fs/cgroup", "max", 3 * GIB)
    assert host_free_bytes(machine.root) == 8 * GIB


def test_version_1_inside_a_container_whose_path_is_the_hosts(machine):
    machine("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/3f:1\n0::/")
    group(machine, "sys/fs/cgroup/memory", 2 * GIB, GIB, version=1)
    assert host_free_bytes(machine.root) == GIB


def test_version_1_without_a_limit_says_a_huge_number(machine):
    machine("proc/self/cgroup", "4:memory:/")
    group(machine, "sys/fs/cgroup/memory", 9223372036854771712, GIB, version=1)
    assert host_free_bytes(machine.root) == 8 * GIB


def test_a_group_over_its_limit_leaves_nothing(machine):
    machine("proc/self/cgroup", "0::/job")
    group(machine, "sys/fs/cgroup/job", GIB, GIB + 4096)
    assert host_free_bytes(machine.root) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="sysconf is POSIX")
def test_elsewhere_half_of_the_physical_memory(tmp_path, monkeypatch):
    assert host_free_bytes(tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    monkeypatch.setattr(memory.os, "sysconf_names", {})
    with pytest.raises(EngineError, match="set memory_limit"):
        host_free_bytes(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_free_here_is_no_more_than_the_machine_has():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < free_bytes(torch.device("cpu")) <= total


def test_an_unknown_device_asks_for_a_limit():
    with pytest.raises(EngineError, match=r"memory is free on meta.*set memory_limit"):
        free_bytes(torch.device("meta"))
