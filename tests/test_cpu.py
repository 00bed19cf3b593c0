from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import SmallModel
from subprocesses import run_python

from minilm_retrieval import MiniLMEmbedder, cpu
from minilm_retrieval.errors import InvalidOptionError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Eight processors on eight cores without a quota or an override; tests change one of these."""
    monkeypatch.delenv("MINILM_THREADS", raising=False)
    monkeypatch.setattr(cpu, "allowed_processors", lambda: frozenset(range(8)))
    monkeypatch.setattr(cpu, "_physical_cores", lambda processors: 8)
    monkeypatch.setattr(cpu, "cgroup_quota", lambda: None)
    return monkeypatch


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def quota(tmp_path: Path, membership: str = "0::/\n") -> float | None:
    write(tmp_path / "self-cgroup", membership)
    return cpu.cgroup_quota(tmp_path / "cgroup", tmp_path / "self-cgroup")


def test_affinity_decides_when_nothing_is_smaller(machine: pytest.MonkeyPatch) -> None:
    assert cpu.thread_budget() == cpu.ThreadBudget(8, "8 processors allowed by the operating system")


def test_two_hardware_threads_of_a_core_count_once(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(cpu, "_physical_cores", lambda processors: 4)
    assert cpu.thread_budget() == cpu.ThreadBudget(4, "4 physical cores behind 8 allowed processors")


@pytest.mark.parametrize(("granted", "threads"), [(0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2), (7.2, 8), (64.0, 8)])
def test_quota_is_rounded_up_and_never_raises_the_budget(
    machine: pytest.MonkeyPatch, granted: float, threads: int
) -> None:
    machine.setattr(cpu, "cgroup_quota", lambda: granted)
    budget = cpu.thread_budget()
    assert budget.threads == threads
    assert ("quota" in budget.reason) == (threads < 8)


def test_unknown_topology_leaves_the_affinity(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(cpu, "_physical_cores", lambda processors: 0)
    assert cpu.thread_budget().threads == 8


def test_environment_wins_over_the_machine_and_the_argument_over_both(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("MINILM_THREADS", "3")
    assert cpu.thread_budget() == cpu.ThreadBudget(3, "set by MINILM_THREADS")
    assert cpu.thread_budget(12) == cpu.ThreadBudget(12, "given as threads=")


def test_empty_environment_variable_is_none(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("MINILM_THREADS", "")
    assert cpu.thread_budget().threads == 8


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", " ", "inf"])
def test_bad_environment_variable_is_refused_by_name(machine: pytest.MonkeyPatch, value: str) -> None:
    machine.setenv("MINILM_THREADS", value)
    with pytest.raises(InvalidOptionError, match="MINILM_THREADS must be a whole number"):
        cpu.thread_budget()


@pytest.mark.parametrize("value", [0, -2, True, False, "many", 2.5, float("inf"), float("nan"), [2]])
def test_bad_argument_is_refused_by_name(machine: pytest.MonkeyPatch, value: object) -> None:
    with pytest.raises(InvalidOptionError, match="threads must be a whole number"):
        cpu.thread_budget(value)  # type: ignore[arg-type]


def test_version_2_quota(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/cpu.max", "150000 100000\n")
    assert quota(tmp_path) == 1.5


def test_version_2_without_a_limit(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/cpu.max", "max 100000\n")
    assert quota(tmp_path) is None


def test_version_2_reads_every_level_and_the_smallest_binds(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/a/cpu.max", "200000 100000\n")
    write(tmp_path / "cgroup/a/b/cpu.max", "max 100000\n")
    write(tmp_path / "cgroup/a/b/c/cpu.max", "400000 100000\n")
    assert quota(tmp_path, "0::/a/b/c\n") == 2.0
    assert quota(tmp_path, "0::/a/b\n") == 2.0
    write(tmp_path / "cgroup/a/b/c/cpu.max", "50000 100000\n")
    assert quota(tmp_path, "0::/a/b/c\n") == 0.5
    assert quota(tmp_path, "0::/other\n") is None


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1_quota_of_the_container_and_its_parents(tmp_path: Path, mount: str) -> None:
    membership = "12:cpu,cpuacct:/pod/box\n3:memory:/elsewhere\n1:name=systemd:/pod/box\n"
    for level, microseconds in (("pod", 300_000), ("pod/box", 250_000)):
        write(tmp_path / f"cgroup/{mount}/{level}/cpu.cfs_quota_us", f"{microseconds}\n")
        write(tmp_path / f"cgroup/{mount}/{level}/cpu.cfs_period_us", "100000\n")
    assert quota(tmp_path, membership) == 2.5
    write(tmp_path / f"cgroup/{mount}/pod/cpu.cfs_quota_us", "100000\n")
    assert quota(tmp_path, membership) == 1.0


def test_version_1_as_seen_inside_a_container(tmp_path: Path) -> None:
    """The membership names a path of the host that is not mounted; the mount's root is the container's own group."""
    write(tmp_path / "cgroup/cpu/cpu.cfs_quota_us", "200000\n")
    write(tmp_path / "cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert quota(tmp_path, "4:cpu,cpuacct:/docker/0123456789ab\n") == 2.0


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert quota(tmp_path) is None


def test_a_path_outside_the_mount_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "cpu.max", "100000 100000\n")
    (tmp_path / "cgroup").mkdir()
    assert quota(tmp_path, "0::/../..\n") is None


@pytest.mark.parametrize("content", ["", "garbage", "100000", "100000 0", "a b", "-\n"])
def test_unreadable_quota_is_no_quota(tmp_path: Path, content: str) -> None:
    write(tmp_path / "cgroup/cpu.max", content)
    assert quota(tmp_path) is None


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert cpu.cgroup_quota(tmp_path / "absent", tmp_path / "absent-too") is None


def test_physical_cores_are_counted_among_the_allowed_processors_only(tmp_path: Path) -> None:
    for processor, siblings in enumerate(["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"]):
        write(tmp_path / f"cpu{processor}/topology/thread_siblings_list", f"{siblings}\n")
    assert cpu._physical_cores(frozenset(range(8)), tmp_path) == 4
    assert cpu._physical_cores(frozenset({0, 4}), tmp_path) == 1
    assert cpu._physical_cores(frozenset({0, 1}), tmp_path) == 2
    assert cpu._physical_cores(frozenset({0, 9}), tmp_path) == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_pinned_process_uses_one_thread() -> None:
    output = run_python(
        """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from minilm_retrieval.cpu import thread_budget
        print(thread_budget().threads)
        """
    )
    assert output.strip() == "1"


@pytest.mark.parametrize(
    ("threads", "nodes", "streams", "latency"),
    [
        (1, 1, 1, 1),
        (2, 1, 2, 2),
        (8, 1, 8, 8),
        (8, 2, 8, 4),
        (12, 1, 6, 12),
        (16, 1, 8, 16),
        (32, 2, 16, 16),
        (48, 2, 12, 16),
        (64, 2, 16, 16),
        (128, 8, 32, 16),
        (2, 4, 2, 1),
    ],
)
def test_streams_on_hosts_of_many_sizes(threads: int, nodes: int, streams: int, latency: int) -> None:
    plan = cpu.stream_plan(threads, nodes)
    assert (plan.streams, plan.latency_threads) == (streams, latency)
    assert plan.reason.startswith(f"{streams} batches side by side" if threads > 1 else "one batch at a time")
    assert ("memory nodes" in plan.reason) == (min(nodes, threads) > 1)


@given(st.integers(1, 512), st.integers(1, 16))
def test_every_stream_has_a_thread_and_every_node_as_many_streams(threads: int, nodes: int) -> None:
    plan = cpu.stream_plan(threads, nodes)
    assert 1 <= plan.streams <= threads
    assert 1 <= plan.latency_threads <= threads
    assert plan.streams == threads or plan.streams % min(nodes, threads) == 0


def test_memory_nodes_are_those_of_the_allowed_processors(tmp_path: Path) -> None:
    write(tmp_path / "node0" / "cpulist", "0-15,32-47\n")
    write(tmp_path / "node1" / "cpulist", "16-31,48-63\n")
    write(tmp_path / "node2" / "cpulist", "\n")
    assert cpu._memory_nodes(frozenset(range(64)), tmp_path) == 2
    assert cpu._memory_nodes(frozenset({3, 40}), tmp_path) == 1
    assert cpu._memory_nodes(frozenset({31, 32}), tmp_path) == 2
    assert cpu._memory_nodes(frozenset({3}), tmp_path / "absent") == 1
    write(tmp_path / "node2" / "cpulist", "all of them\n")
    assert cpu._memory_nodes(frozenset({3}), tmp_path) == 1


def test_an_engine_is_compiled_as_a_large_host_wants_it(
    monkeypatch: pytest.MonkeyPatch, small_model: SmallModel
) -> None:
    """With the processors of two nodes simulated, and fewer in truth; OpenVINO starts what it is told to."""
    import openvino

    told: list[dict[str, str]] = []
    original = openvino.Core.compile_model

    def watched(core: openvino.Core, graph: object, device: str, options: dict[str, str]) -> object:
        told.append(options)
        return original(core, graph, device, options)

    monkeypatch.setattr(openvino.Core, "compile_model", watched)
    monkeypatch.setattr(cpu, "_memory_nodes", lambda processors: 2)
    embedder = MiniLMEmbedder(small_model.write(), threads=24, on_truncate="ignore")
    embedder.warmup()
    assert [(options["NUM_STREAMS"], options["INFERENCE_NUM_THREADS"]) for options in told] == [
        ("1", "12"),
        ("12", "24"),
    ]
    assert embedder.encode([f"text {number} " * 40 for number in range(100)]).shape == (100, 32)
