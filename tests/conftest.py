"""What every test gets: an event loop on virtual time, a sandbox, and the server in front of it."""

import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    # Kept out of the sources, but kept: to compile the server and its packages takes longer than to start it, and
    # some hundred processes of the tests are started.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(Path(sys.prefix) / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import AsyncExitStack
from random import Random

import pytest
import structlog
from aiohttp import web_app

from runflow_mcp.runflow.catalog import catalog
from runflow_mcp.runflow.catalog.entries import parse_catalog
from runflow_mcp.sandbox import RunningSandbox, start
from runflow_mcp.sandbox.catalog import catalog_document
from tests.command_process import run, session  # noqa: F401 - fixtures
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import Serve, Server, run_server
from tests.virtual_time import VirtualClock, VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 - the hook's signature
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("real_time"):
        return {"real": asyncio.new_event_loop}
    return {"virtual": VirtualTimeLoop}


def pytest_collectstart() -> None:
    """Collect no garbage while tests are collected: thousands of objects come, and none goes away."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that meet other processes: they are the longest, and wait while the others compute."""
    items.sort(key=lambda item: item.get_closest_marker("real_time") is None)


def pytest_collection_finish() -> None:
    """Collect garbage less often, and never among the tests themselves.

    With Python's own thresholds every fifth second of a run goes into looking for garbage.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 50)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Drop the output of what passed, unless ``-rP`` asks for it: sending it between processes takes time."""
    report = yield
    if report.passed and not {"P", "A"} & set(item.config.getoption("reportchars")):
        report.sections.clear()
    return report


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """structlog's default renders tracebacks richly, which takes seconds each."""
    structlog.reset_defaults()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )


@pytest.fixture(autouse=True)
def no_retained_applications() -> Iterator[None]:
    """aiohttp's cache of 1,024 built handlers would keep the applications of hundreds of tests: 0.4 GB in a folder."""
    yield
    web_app._cached_build_middleware.cache_clear()  # noqa: SLF001 - it has no public way


@pytest.fixture(scope="session", autouse=True)
def sandbox_catalog_read_once() -> Iterator[None]:
    """Reading it is a quarter of what a test with a server costs. The snapshot never changes, so tests can share it."""
    document = catalog_document()
    snapshot = parse_catalog(document)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "parse_catalog", lambda body: snapshot if body == document else parse_catalog(body))
        yield


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def sandbox(clock: VirtualClock) -> ScriptedSandbox:
    return ScriptedSandbox(clock=clock)


@pytest.fixture
async def upstream(sandbox: ScriptedSandbox) -> AsyncIterator[RunningSandbox]:
    running = await start(sandbox)
    yield running
    await running.close()


@pytest.fixture
async def serve(upstream: RunningSandbox, clock: VirtualClock) -> AsyncIterator[Serve]:
    """Start a server in front of the sandbox with settings of the test's own, by their environment names."""
    async with AsyncExitStack() as stack:

        async def run(**settings: str) -> Server:
            return await stack.enter_async_context(run_server(upstream.url, clock, Random(0), settings))

        yield run


@pytest.fixture
async def server(serve: Serve) -> Server:
    return await serve()
