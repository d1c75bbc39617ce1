"""The nginx site file against the settings and time limits of the code; other tests run it in a real nginx."""

import re

import orjson
import pytest

from runflow_mcp.errors import HTTP_STATUS, Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.body import BODY_TIMEOUT
from runflow_mcp.web.connection import HEAD_TIMEOUT, KEEPALIVE_TIMEOUT
from runflow_mcp.web.health import READYZ
from runflow_mcp.web.keepalive import KEEPALIVE_INTERVAL
from tests.deploy.deploy_files import SITE, Directive, read_nginx, seconds, size

DEFAULTS = Config()


@pytest.fixture(scope="module")
def site() -> Directive:
    return read_nginx(SITE)


@pytest.fixture(scope="module")
def server(site: Directive) -> Directive:
    """The one with TLS."""
    plain, secure = site.all("server")
    assert plain.values("listen") == ["80", "[::]:80"]
    assert secure.values("listen") == ["443 ssl http2", "[::]:443 ssl http2"]
    assert plain.value_of("server_name") == secure.value_of("server_name")
    return secure


def test_upstream_connections_end_before_the_server_ends_them(site: Directive) -> None:
    upstream = site.inside("upstream", "runflow_mcp")
    assert [address.split()[0] for address in upstream.values("server")] == ["127.0.0.1:8080", "127.0.0.1:8081"]
    assert seconds(upstream.value_of("keepalive_timeout")) < KEEPALIVE_TIMEOUT
    assert int(upstream.value_of("keepalive")) > 0


def test_the_body_cap_is_the_server_s_and_bodies_are_not_collected(server: Directive) -> None:
    assert int(server.value_of("client_max_body_size")) == DEFAULTS.max_body_bytes
    assert server.value_of("proxy_request_buffering") == "off"
    assert size(server.value_of("client_body_buffer_size")) <= 16 * 1024


def test_slow_clients_get_at_most_the_time_limits_of_the_server(server: Directive) -> None:
    assert seconds(server.value_of("client_header_timeout")) <= HEAD_TIMEOUT
    assert seconds(server.value_of("client_body_timeout")) <= BODY_TIMEOUT
    assert seconds(server.value_of("lingering_time")) < BODY_TIMEOUT


def test_only_the_endpoint_may_be_silent_for_longer_than_a_minute(server: Directive) -> None:
    endpoint = server.inside("location", "~ ^/mcp/?$")
    assert seconds(endpoint.value_of("proxy_read_timeout")) > DEFAULTS.poll_timeout
    assert endpoint.value_of("proxy_buffering") == server.value_of("gzip") == "off"
    others = [location for location in server.all("location") if location.value != "~ ^/mcp/?$"]
    assert not any(location.values("proxy_read_timeout") or location.values("proxy_buffering") for location in others)
    assert KEEPALIVE_INTERVAL < seconds(server.value_of("proxy_read_timeout")) <= 60


def test_a_post_that_was_sent_is_never_repeated(server: Directive) -> None:
    assert server.value_of("proxy_next_upstream").split() == ["error", "timeout"]


def test_one_address_may_hold_as_many_connections_as_its_calls_of_five_minutes(
    site: Directive, server: Directive
) -> None:
    zone, count = server.value_of("limit_conn").split()
    assert site.value_of("limit_conn_zone") == f"$runflow_mcp_client zone={zone}:10m"
    five_minutes = 300 / DEFAULTS.rate_limit_window
    assert int(count) == DEFAULTS.rate_limit_per_ip * five_minutes


def test_the_rate_of_calls_is_never_stricter_than_the_windows_of_two_replicas(
    site: Directive, server: Directive
) -> None:
    zone, burst, delay = server.inside("location", "~ ^/mcp/?$").value_of("limit_req").split()
    rates = {zone.split()[1].partition(":")[0]: zone.split() for zone in site.values("limit_req_zone")}
    assert all(words[0] == "$runflow_mcp_client" for words in rates.values())
    assert zone in rates
    admitted = 2 * (DEFAULTS.rate_limit_per_ip + DEFAULTS.rate_limit_pre_auth_per_ip)
    assert int(burst.removeprefix("burst=")) >= 2 * admitted  # with a preflight each
    assert int(rates[zone][2].removeprefix("rate=").removesuffix("r/s")) * 60 >= 2 * admitted
    assert delay == "nodelay"


def test_headers_about_the_caller_are_set_and_not_appended_to(server: Directive) -> None:
    headers = {directive.words[1]: directive.words[2] for directive in server.all("proxy_set_header")}
    assert headers["X-Forwarded-For"] == "$remote_addr"
    assert headers["X-Request-Id"] == "$request_id"
    assert headers["Host"] == "$http_host"
    assert headers["Connection"] == ""
    # A location with one of its own would lose all of these.
    assert not any(location.values("proxy_set_header") for location in server.all("location"))


def test_locations_with_headers_of_their_own_keep_the_others(server: Directive) -> None:
    common = set(server.values("add_header"))
    for location in server.all("location"):
        own = set(location.values("add_header"))
        assert not own or common < own, location.value


def test_readiness_is_for_the_operator_s_networks(server: Directive) -> None:
    rules = [(rule.name, rule.value) for rule in server.inside("location", f"= {READYZ}").block]
    networks = [value for name, value in rules if name == "allow"]
    assert networks == ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7"]
    assert rules.index(("deny", "all")) == len(networks)


def test_the_access_log_has_no_query_and_no_header_with_a_secret(site: Directive) -> None:
    (form,) = site.all("log_format")
    variables = set(re.findall(r"\$(\w+)", form.value))
    assert "runflow_mcp_uri" in variables
    secret = {"request", "request_uri", "args", "query_string", "uri", "http_referer", "http_authorization"}
    assert not variables & secret
    for server in site.all("server"):
        assert server.value_of("access_log").split()[1] == form.words[1]


@pytest.mark.parametrize(
    "code",
    [
        RejectionCode.BAD_REQUEST,
        RejectionCode.BODY_TOO_LARGE,
        RejectionCode.HEAD_TOO_LARGE,
        RejectionCode.RATE_LIMITED,
    ],
)
def test_a_rejection_in_the_site_file_equals_the_servers(server: Directive, code: RejectionCode) -> None:
    status = HTTP_STATUS[code]
    (handler,) = [
        directive.words[-1]
        for directive in server.all("error_page")
        if {str(status), f"={status}"} & set(directive.words)
    ]
    location = server.inside("location", handler if handler.startswith("@") else f"= {handler}")
    (answer,) = location.all("return")
    _, sent, body = answer.words
    written = orjson.loads(body)
    retry = 10 if code is RejectionCode.RATE_LIMITED else None
    expected = orjson.loads(Rejection(code, written["error"]["message"], retry).envelope("$request_id"))
    assert (int(sent), written) == (status, expected)
    assert location.value_of("default_type") == "application/json"


def test_the_message_about_large_bodies_names_the_cap(server: Directive) -> None:
    assert f"over {DEFAULTS.max_body_bytes} bytes" in server.inside("location", "@body_too_large").value_of("return")
