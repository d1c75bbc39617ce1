"""The memory of metric values: what one process writes, another reads, also after a crash."""

import multiprocessing
import os
import signal

from runflow_mcp.observability.metric_memory import NAMES_SIZE, VALUES_SIZE, MetricMemory, Series


def test_a_series_is_read_as_it_was_written() -> None:
    memory = MetricMemory(-1)
    memory.add("a", ("x", 'quoted "ü"\n'), 3)[2] += 1.5
    memory.add("b", (), 1)[0] = 7
    assert memory.read() == [Series("a", ("x", 'quoted "ü"\n'), (0, 0, 1.5)), Series("b", (), (7,))]


def test_a_second_map_of_the_same_memory_sees_every_change() -> None:
    memory = MetricMemory.share()
    values = MetricMemory(memory.descriptor).add("a", (), 2)
    assert memory.read() == [Series("a", (), (0, 0))]
    values[1] += 1
    assert memory.read() == [Series("a", (), (0, 1))]
    memory.close()


def _count_and_die(memory: MetricMemory) -> None:
    memory.add("a", (), 1)[0] += 3
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_counted_is_not_lost() -> None:
    memory = MetricMemory.share()
    process = multiprocessing.get_context("fork").Process(target=_count_and_die, args=(memory,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert memory.read() == [Series("a", (), (3,))]
    memory.close()


def test_when_the_memory_is_full_counting_goes_on_unseen() -> None:
    memory = MetricMemory(-1)
    for number in range(NAMES_SIZE // 10):
        memory.add("a", (str(number),), 1)[0] += 1
    assert memory.full
    seen = len(memory.read())
    assert seen < NAMES_SIZE // 10
    memory = MetricMemory(-1)
    memory.add("a", (), VALUES_SIZE)[0] += 1
    assert memory.full
    assert memory.read() == []
