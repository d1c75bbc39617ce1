"""The log's queue and its writer, against real files, full disks and pipes."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from runflow_mcp.observability.sink import MAX_BYTES, MAX_LINES, Sink
from tests.eventually import PATIENCE, eventually

pytestmark = pytest.mark.real_time

#: Seconds that a call of ``write`` may take, on a busy machine.
AT_ONCE = 1.0


def lines(first: int, last: int) -> list[bytes]:
    return [b"line %d\n" % number for number in range(first, last)]


def notice(dropped: int) -> bytes:
    return b"dropped %d\n" % dropped


@contextmanager
def sink_on(descriptor: int | None) -> Iterator[Sink]:
    sink = Sink(descriptor, notice=notice)
    yield sink
    sink.close(0.1)


Pipe = tuple[IO[bytes], IO[bytes]]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Both ends of a pipe, the reading one first."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as out, os.fdopen(writer, "wb", buffering=0) as into:
        yield out, into


def read_all(descriptor: int, until_line: bytes) -> bytes:
    read = b""
    while until_line not in read:
        read += os.read(descriptor, 1 << 20)
    return read


def test_lines_are_written_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    written = lines(0, 5000)
    with (tmp_path / "log").open("wb") as file, sink_on(file.fileno()) as sink:
        for line in written:
            sink.write(line)
        assert sink.flush(PATIENCE)
        assert sink.state() == {"state": "ok", "dropped": 0, "queued": 0}
    assert (tmp_path / "log").read_bytes() == b"".join(written)


def test_a_close_writes_what_is_queued(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        sink = Sink(file.fileno())
        for line in lines(0, 100):
            sink.write(line)
        sink.close(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"".join(lines(0, 100))


def test_lines_of_many_threads_are_whole(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file, sink_on(file.fileno()) as sink:

        def log(thread: int) -> None:
            for number in range(500):
                sink.write(b"%d %d\n" % (thread, number))

        threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
        for running in threads:
            running.start()
        for running in threads:
            running.join()
        assert sink.flush(PATIENCE)
    pairs = [tuple(map(int, line.split())) for line in (tmp_path / "log").read_bytes().splitlines()]
    for thread in range(4):
        assert [number for written_by, number in pairs if written_by == thread] == list(range(500))


def test_a_blocked_reader_blocks_no_caller_and_the_queue_stays_within_its_bounds(pipe: Pipe) -> None:
    with sink_on(pipe[1].fileno()) as sink:
        began = time.monotonic()
        for line in lines(0, 3 * MAX_LINES):
            sink.write(line)
        assert time.monotonic() - began < AT_ONCE
        state = sink.state()
        assert state["state"] == "failing"
        assert isinstance(state["queued"], int)
        assert state["queued"] <= MAX_LINES
        assert state["dropped"]
        pipe[0].close()  # lets the writer go


def test_each_of_several_lines_that_come_together_is_counted(pipe: Pipe) -> None:
    with sink_on(pipe[1].fileno()) as sink:
        for first in range(0, 2 * MAX_LINES, 50):
            sink.write(b"".join(lines(first, first + 50)))
        state = sink.state()
        assert state["queued"] == MAX_LINES
        assert state["dropped"] == MAX_LINES
        read = read_all(pipe[0].fileno(), b"dropped")
        assert read == b"".join([*lines(0, MAX_LINES), notice(MAX_LINES)])


def test_large_lines_are_bounded_by_their_bytes(pipe: Pipe) -> None:
    with sink_on(pipe[1].fileno()) as sink:
        for _ in range(10):
            sink.write(b"x" * (MAX_BYTES // 5 - 1) + b"\n")
        assert sink.state()["queued"] == 5
        assert sink.state()["dropped"] == 5
        pipe[0].close()


def test_a_reader_that_continues_gets_every_kept_line_and_the_count_of_the_others(pipe: Pipe) -> None:
    with sink_on(pipe[1].fileno()) as sink:
        for line in lines(0, 10_000):  # more than the pipe holds
            sink.write(line)
        eventually(lambda: sink.state()["state"] == "failing")
        for line in lines(10_000, MAX_LINES + 10_000):
            sink.write(line)
        dropped = sink.state()["dropped"]
        assert isinstance(dropped, int)
        assert dropped > 0
        kept = MAX_LINES + 10_000 - dropped
        read = read_all(pipe[0].fileno(), b"dropped")
        assert read == b"".join([*lines(0, kept), notice(dropped)])
        sink.write(b"after\n")
        assert read_all(pipe[0].fileno(), b"after\n") == b"after\n"
        assert sink.flush(PATIENCE)
        assert sink.state() == {"state": "ok", "dropped": dropped, "queued": 0}


def test_a_blocked_reader_is_reported_as_failing_before_a_line_is_lost(pipe: Pipe) -> None:
    with sink_on(pipe[1].fileno()) as sink:
        for line in lines(0, 10_000):
            sink.write(line)
        eventually(lambda: sink.state()["state"] == "failing")
        assert sink.state()["dropped"] == 0
        pipe[0].close()


def test_a_pipe_that_another_process_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe[1].fileno(), False)
    with sink_on(pipe[1].fileno()) as sink:
        for line in lines(0, 10_000):
            sink.write(line)
        sink.write(b"last\n")
        assert read_all(pipe[0].fileno(), b"last\n") == b"".join([*lines(0, 10_000), b"last\n"])


def test_a_full_disk_costs_lines_that_are_counted() -> None:
    with Path("/dev/full").open("wb") as full, sink_on(full.fileno()) as sink:
        for line in lines(0, 7):
            sink.write(line)
        eventually(lambda: sink.state() == {"state": "failing", "dropped": 7, "queued": 0})


def test_a_pipe_without_a_reader_costs_lines_until_there_is_one_again(tmp_path: Path) -> None:
    name = tmp_path / "fifo"
    os.mkfifo(name)
    reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    writer = os.open(name, os.O_WRONLY)
    with sink_on(writer) as sink:
        sink.write(b"first\n")
        assert read_all(reader, b"first") == b"first\n"
        os.close(reader)
        for line in lines(0, 5):
            sink.write(line)
        eventually(lambda: sink.state()["dropped"] == 5)
        reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        assert read_all(reader, b"dropped 5\n") == b"dropped 5\n"  # although nothing more is logged
        eventually(lambda: sink.state()["state"] == "ok")
        assert sink.state() == {"state": "ok", "dropped": 5, "queued": 0}
        sink.write(b"next\n")
        assert read_all(reader, b"next") == b"next\n"
    os.close(reader)
    os.close(writer)


def test_the_line_after_half_a_line_begins_on_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up takes the beginning of a line."""
    room = 7
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        done = real(descriptor, data[:room])
        room -= done
        return done

    monkeypatch.setattr(os, "write", write)
    with (tmp_path / "log").open("wb") as file, sink_on(file.fileno()) as sink:
        sink.write(b"abc\n")
        sink.write(b"defghi\n")
        eventually(lambda: sink.state()["dropped"] == 1)
        room = 1000
        eventually(lambda: sink.state()["state"] == "ok")
        sink.write(b"jkl\n")
        assert sink.flush(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"abc\ndef\ndropped 1\njkl\n"


def test_without_a_descriptor_every_line_counts_as_dropped() -> None:
    with sink_on(None) as sink:
        sink.write(b"x\n")
        assert sink.state() == {"state": "failing", "dropped": 1, "queued": 0}


def test_a_descriptor_that_is_closed_and_given_to_something_else_gets_no_log_line(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    with sink_on(log) as sink:
        os.close(log)
        other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
        assert other == log
        sink.write(b"x\n")
        assert sink.flush(PATIENCE)
    os.close(other)
    assert (tmp_path / "log").read_bytes() == b"x\n"
    assert (tmp_path / "other").read_bytes() == b""


def test_a_close_waits_at_most_its_timeout(pipe: Pipe) -> None:
    sink = Sink(pipe[1].fileno())
    for line in lines(0, 20_000):
        sink.write(line)
    began = time.monotonic()
    sink.close(0.2)
    assert time.monotonic() - began < AT_ONCE


def test_lines_of_several_processes_do_not_mix_in_a_pipe_that_is_read_slowly() -> None:
    reading, writing = os.pipe()
    first, second = (Sink(writing, shared=True) for _ in range(2))
    os.close(writing)
    written = {first: b"a" * 300 + b"\n", second: b"b" * 700 + b"\n"}
    for sink, line in written.items():
        for _ in range(2000):
            sink.write(line)
    closing = [threading.Thread(target=sink.close, args=(PATIENCE,)) for sink in written]
    for thread in closing:
        thread.start()
    read = b""
    while part := os.read(reading, 1000):
        read += part
    for thread in closing:
        thread.join()
    os.close(reading)
    assert Counter(read.splitlines(keepends=True)) == dict.fromkeys(written.values(), 2000)
