"""How a request reaches the network: proxies, NO_PROXY and certificates, as values."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.settings import egress
from runflow_mcp.settings.egress import Egress, Proxy
from tests.protocol.property_settings import law
from tests.runflow.certificate_authority import Authority

SECURE, PLAIN = Proxy("http://secure:1"), Proxy("http://plain:1")


def way(host: str, no_proxy: str = "", *, scheme: str = "https", port: int | None = None) -> Proxy | None:
    return Egress(SECURE, PLAIN, egress.no_proxy(no_proxy)).proxy_for(scheme, host, port)


def test_each_scheme_has_its_own_proxy() -> None:
    assert way("api.runflow.io") is SECURE
    assert way("api.runflow.io", scheme="http") is PLAIN
    assert Egress(https_proxy=SECURE).proxy_for("http", "api.runflow.io", None) is None
    assert Egress().proxy_for("https", "api.runflow.io", None) is None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "sandbox.localhost",
        "127.0.0.1",
        "127.9.8.7",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        "0.0.0.0",  # noqa: S104 - asked for, not bound
    ],
)
def test_loopback_addresses_are_reached_directly(host: str) -> None:
    assert way(host) is None


@pytest.mark.parametrize("host", ["localhost.example.com", "notlocalhost", "128.0.0.1", "::2", "10.0.0.1"])
def test_other_addresses_go_through_the_proxy(host: str) -> None:
    assert way(host) is SECURE


@pytest.mark.parametrize(
    ("host", "entries"),
    [
        ("api.runflow.io", "*"),
        ("api.runflow.io", "x,*"),
        ("api.runflow.io", "api.runflow.io"),
        ("API.Runflow.io", "api.RUNFLOW.io"),
        ("api.runflow.io.", "api.runflow.io"),
        ("api.runflow.io", "runflow.io"),
        ("api.runflow.io", ".runflow.io"),
        ("api.runflow.io", "*.runflow.io"),
        ("runflow.io", ".runflow.io"),
        ("api.runflow.io", "a.example, runflow.io ,b.example"),
        ("api.runflow.io", "a.example runflow.io"),
        ("api.runflow.io", "runflow.io:443"),
        ("10.1.2.3", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3"),
        ("fd00::7", "fd00::/8"),
        ("fd00::7", "fd00::7"),
        ("[fd00::7]", "[fd00::7]"),
        ("fd00::7", "[fd00::7]:443"),
    ],
)
def test_every_notation_of_no_proxy_exempts_its_host(host: str, entries: str) -> None:
    assert way(host, entries) is None


@pytest.mark.parametrize(
    ("host", "entries"),
    [
        ("api.runflow.io", ""),
        ("api.runflow.io", "api.runflow.com"),
        ("apirunflow.io", "runflow.io"),
        ("runflow.io.example.com", "runflow.io"),
        ("runflow.io", "api.runflow.io"),
        ("api.runflow.io", "runflow.io:80"),
        ("api.runflow.io", ".,,:443,10.0.0.0/99,[]"),
        ("10.1.2.3", "1.2.3"),
        ("11.1.2.3", "10.0.0.0/8"),
        ("api.runflow.io", "10.0.0.0/8"),
        ("fd00::7", "fd00::8"),
    ],
)
def test_a_host_outside_no_proxy_goes_through_the_proxy(host: str, entries: str) -> None:
    assert way(host, entries) is SECURE


def test_a_no_proxy_entry_with_a_port_matches_that_port_alone() -> None:
    assert way("api.runflow.io", "api.runflow.io:8443", port=8443) is None
    assert way("api.runflow.io", "api.runflow.io:80", scheme="http") is None
    assert way("api.runflow.io", "api.runflow.io:8443") is SECURE


@law
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_no_proxy_list_can_be_evaluated(host: str, entries: str) -> None:
    way(host, entries)


@pytest.mark.parametrize(
    ("value", "url", "credentials"),
    [
        ("http://proxy:3128", "http://proxy:3128", None),
        ("http://proxy:3128/", "http://proxy:3128", None),
        ("proxy:3128", "http://proxy:3128", None),
        ("https://proxy", "https://proxy", None),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128", None),
        ("http://user:pass@proxy:3128", "http://proxy:3128", "user:pass"),
        ("user:pass@proxy:3128", "http://proxy:3128", "user:pass"),
        ("http://us%40er:p%3Aa%2Fss@proxy", "http://proxy", "us@er:p:a/ss"),
        ("http://user@proxy", "http://proxy", "user:"),
    ],
)
def test_a_proxy_is_a_url_with_or_without_credentials(value: str, url: str, credentials: str | None) -> None:
    proxy = egress.proxy(value)
    assert proxy is not None
    header = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()
    assert (proxy.url, proxy.authorization) == (url, header)
    if header:
        assert header.split()[1] not in repr(proxy) + str(proxy)


@pytest.mark.parametrize(
    "value",
    [
        "socks5://proxy",
        "http://",
        "http://proxy:0",
        "http://proxy:x",
        "http://proxy:99999",
        "http://proxy/x",
        "http://a b",
    ],
)
def test_any_other_text_is_refused_as_a_proxy(value: str) -> None:
    with pytest.raises(ValueError, match="http://"):
        egress.proxy(value)


def test_a_certificate_file_with_certificates_is_accepted(tmp_path: Path) -> None:
    file = str(Authority(tmp_path).file)
    assert egress.certificate_file(file) == file
    assert egress.certificate_file("") == ""


@pytest.mark.parametrize(
    "content", [None, b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_readable_certificate_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match="PEM"):
        egress.certificate_file(str(file))
    with pytest.raises(ValueError, match="PEM"):
        egress.certificate_file(str(tmp_path))
