"""The messages between a worker and its parent arrive, whatever pieces they are read in."""

import asyncio
import socket

import pytest

from runflow_mcp.workers.channel import ParentGoneError, ParentLink, Report, Start, StopCommand, WorkerLink

START = b'{"environ":{"MCP_PORT":"1"},"metrics":7}\n'


async def received(link: ParentLink) -> list[StopCommand]:
    """The commands up to the end of the connection."""
    commands: list[StopCommand] = []
    ended = asyncio.Event()

    def handle(command: StopCommand) -> None:
        commands.append(command)
        if len(commands) == 3:
            ended.set()

    link.on_command(handle)
    await ended.wait()
    return commands


@pytest.mark.parametrize("cut", [0, 10, len(START), len(START) + 3, len(START) + 8])
async def test_commands_arrive_also_when_they_come_with_the_first_message(cut: int) -> None:
    parent, worker = socket.socketpair()
    link = ParentLink(worker)
    sent = START + b'"drain"\n"stop"\n'
    if cut >= len(START):
        parent.sendall(sent[:cut])
        assert link.start() == Start({"MCP_PORT": "1"}, 7)
        parent.sendall(sent[cut:])
    else:
        parent.sendall(sent)
        assert link.start() == Start({"MCP_PORT": "1"}, 7)
    parent.close()
    # The end of the parent means drain.
    assert await received(link) == ["drain", "stop", "drain"]
    worker.close()


def test_a_worker_whose_parent_ends_before_the_first_message_ends_too() -> None:
    parent, worker = socket.socketpair()
    parent.sendall(START[:20])
    parent.close()
    with pytest.raises(ParentGoneError):
        ParentLink(worker).start()
    worker.close()


async def test_reports_arrive_until_the_worker_ends() -> None:
    own, other = socket.socketpair()
    link = await WorkerLink.open(own, Start({}, None))
    worker = ParentLink(other)
    assert worker.start() == Start({}, None)
    worker.send(Report(listening=True))
    worker.send(Report(waits=3))
    other.close()
    assert [await link.report() for _ in range(3)] == [Report(listening=True), Report(waits=3), None]
    link.close()
    orphan = socket.socketpair()
    orphan[0].close()
    ParentLink(orphan[1]).send(Report(listening=True))  # not an error
    orphan[1].close()
