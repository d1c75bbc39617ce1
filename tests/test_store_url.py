"""The URL of the rate-limit store: accepted and refused forms, and a password that is never shown."""

import contextlib
import string
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runflow_mcp.cli.config_report import as_env, as_json, as_text
from runflow_mcp.cli.environment import load_config
from runflow_mcp.clock import SystemClock
from runflow_mcp.ratelimit.redis import RedisStore
from runflow_mcp.settings.config import Config, ConfigError
from runflow_mcp.settings.masking import mask_url_password
from runflow_mcp.settings.survey import survey
from tests.protocol.property_settings import law

NAME = "MCP_RATE_LIMIT_STORE"

TAKEN = [
    "redis://cache", "redis://cache:6379", "redis://cache:6379/0", "redis://cache/15", "rediss://cache:6380/2",
    "redis://[::1]:6379/0", "redis://:geheim@cache", "redis://me:ge%2Fheim@cache:6379/1", "redis://me@cache",
    "redis://cache?db=3", "redis://cache?password=geheim&protocol=2", "redis://cache?health_check_interval=30",
    "rediss://cache?ssl_cert_reqs=none&ssl_check_hostname=false", "rediss://cache?ssl_ca_certs=/etc/ca.pem",
    "redis://cache?client_name=runflow",
]  # fmt: skip
REFUSED = [
    "redis://cache:99999", "redis://cache:xx", "redis://cache:0", "redis://cache:-1", "redis://cache:6379/notadb",
    "redis://cache/1/2", "redis://cache/-1", "redis://cache#0", "redis://", "redis://:6379", "redis:///0",
    "redis:cache",
    "redis://[::1", "redis://cache?unheard_of=1", "redis://cache?db=x", "redis://cache?db", "redis://cache?protocol=9",
    "redis://cache?socket_timeout=9", "redis://cache?max_connections=1", "redis://cache?ssl_cert_reqs=none",
    "rediss://cache?ssl_cert_reqs=perhaps", "redis://ca che", "redis://cache\t", "redis://cachê", "redis://a,b",
    "unix:///run/redis.sock", "memory://x", "REDIS_URL", "redis://cache?health_check_interval=soon",
    "redis://default:Hunter2/cret@cache:6379", "redis://me:123/456@cache", "redis://me:a#b@cache",
    "redis://me:a?b@cache", "redis://me:12?x@cache", "redis://cache:6379:6379", "redis://user@host@",
]  # fmt: skip


@pytest.mark.parametrize("url", TAKEN)
async def test_an_accepted_url_can_be_used_by_the_redis_client(url: str) -> None:
    store = RedisStore.make(Config.from_mapping({NAME: url}), SystemClock())
    store._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call] # noqa: SLF001 - where the client refuses what it does not know
    await store.close()


@pytest.mark.parametrize("url", REFUSED)
def test_any_other_url_is_refused_in_one_line_that_says_what_was_expected(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if url != url.strip():
        url += "x"
    assert load_config({NAME: url}) is None
    head, line, _ = capsys.readouterr().err.splitlines()
    assert head == "These settings are wrong:"
    assert line.startswith(f"  {NAME}=")
    assert "expected " in line


#: Passwords as people have them: everything that a URL gives a meaning to, and letters of other scripts.
passwords = st.text(st.sampled_from(string.ascii_letters + string.digits + "/@#?:%&=+[] \\'\"éß漢"), min_size=1)


def everything_printed(url: str) -> str:
    """All that the product says about this setting, whether it is taken or refused."""
    rows = survey({NAME: url})
    texts = [as_text(rows, []), as_json(rows), as_env(rows, {NAME: url}), mask_url_password(url)]
    try:
        config = Config.from_mapping({NAME: url})
    except ConfigError as wrong:
        texts += [str(wrong), repr(wrong)]
    else:
        texts += [repr(config), str(config.table())]
        with contextlib.suppress(ValueError):
            texts.append(str(RedisStore.make(config, SystemClock())))
    return "\n".join(texts)


@law
@given(
    passwords,
    st.sampled_from(["redis://me:{}@cache:6379/0", "redis://:{}@cache", "rediss://me:{}@cache?protocol=3",
                     "redis:/me:{}@cache", "redis:me:{}@cache", "http://me:{}@cache", "redis://me:{}@cache:xx",
                     "redis://me:{}@cache/db", "redis://me:{}@[::1", "redis://cache?password={}",
                     "redis://cache?password={}&db=x", "redis://me:{}@"]),
    st.booleans(),
)  # fmt: skip
def test_no_password_is_shown_whatever_its_form(password: str, form: str, escaped: bool) -> None:  # noqa: FBT001
    marked = f"GEHEIM{password}GEHEIM"
    url = form.format(quote(marked, safe="") if escaped else marked)
    assume(url == url.strip())
    assert "GEHEIM" not in everything_printed(url)


@pytest.mark.parametrize("url", ["redis://me:GEHEIM", "redis://:GEHEIM/0", "redis:GEHEIM", "redis://cache:GEHEIM@x:y"])
def test_a_password_whose_host_was_forgotten_is_masked(url: str) -> None:
    assert "GEHEIM" not in everything_printed(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://default:Hunter2/cret@cache:6379", "redis://default:***@cache:6379"),
        ("redis://cache:6379/notadb", "redis://cache:6379/notadb"),
        ("redis://cache?password=x", "redis://cache?***"),
        ("redis://me:a?b@cache", "redis://***"),
        ("https://api.example.com/models.json", "https://api.example.com/models.json"),
    ],
)
def test_a_masked_url_still_shows_enough_to_find_the_mistake(url: str, shown: str) -> None:
    assert mask_url_password(url) == shown
