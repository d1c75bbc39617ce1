"""``runflow-mcp check`` over real TLS, against certificates with one error each."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import attrs
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runflow_mcp.cli.check import check
from runflow_mcp.cli.check_errors import explain_error
from runflow_mcp.cli.check_report import Lines
from runflow_mcp.settings.egress import Egress
from tests.runflow.certificate_authority import AUTHORITY_USAGE
from tests.serving import KEY

pytestmark = pytest.mark.real_time

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
HERE = "127.0.0.1"


@attrs.frozen
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def issue(
    name: str,
    issuer: Pair | None = None,
    *,
    authority: bool = False,
    address: str = HERE,
    begins: dt.datetime = NOW - 10 * DAY,
    ends: dt.datetime = NOW + 10 * DAY,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Pair:
    """A certificate, signed by ``issuer`` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if authority:
        builder = builder.add_extension(AUTHORITY_USAGE, critical=True)
    else:
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(alternative, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


AUTHORITY = issue("Example CA", authority=True)

Listen = Callable[..., Awaitable[str]]


@pytest.fixture
async def listen(tmp_path: Path) -> AsyncIterator[Listen]:
    """Serve a 200 with the certificates of ``chain``, the server's own first; returns the URL."""
    async with AsyncExitStack() as stack:

        async def start(own: Pair, *more: Pair, adjust: Callable[[ssl.SSLContext], None] = lambda _: None) -> str:
            chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
            chain.write_bytes(b"".join(pair.pem for pair in (own, *more)))
            encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
            key.write_bytes(own.key.private_bytes(encoding, form, serialization.NoEncryption()))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain, key)
            adjust(context)

            async def answer(_request: web.Request) -> web.Response:
                return web.json_response({"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "Reached"}})

            app = web.Application()
            app.router.add_post("/mcp", answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, HERE, 0, ssl_context=context).start()
            return f"https://{HERE}:{runner.addresses[0][1]}/mcp"

        yield start


async def line_of(url: str, ca_file: Path | None) -> str:
    lines: list[str] = []
    await check(url, KEY, None, Lines(lines.append), Egress(ca_file=str(ca_file or "")))
    return lines[-1].partition("ms): ")[2]


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(AUTHORITY.pem)
    return path


async def test_check_explains_a_self_signed_certificate(listen: Listen) -> None:
    line = await line_of(await listen(issue("me")), None)
    assert line.startswith("The TLS certificate is self-signed.")
    assert "SSL_CERT_FILE" in line


@pytest.mark.parametrize("sent", [[], [AUTHORITY]], ids=["leaf alone", "with the authority"])
async def test_check_explains_an_unknown_certificate_authority(listen: Listen, sent: list[Pair]) -> None:
    line = await line_of(await listen(issue("me", AUTHORITY), *sent), None)
    assert "certificate authority" in line
    assert "SSL_CERT_FILE" in line
    assert "self-signed" not in line


async def test_check_trusts_the_authority_in_ssl_cert_file(listen: Listen, trusted: Path) -> None:
    line = await line_of(await listen(issue("me", AUTHORITY)), trusted)
    assert line.startswith("Error -32601: Reached.")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"address": "192.0.2.1"}, "for another name than the one in the URL"),
        ({"ends": NOW - DAY}, "has expired"),
        ({"begins": NOW + DAY}, "is not valid yet"),
        ({"purpose": ExtendedKeyUsageOID.CLIENT_AUTH}, "is not made for servers"),
    ],
    ids=["name", "expired", "not yet valid", "purpose"],
)
async def test_check_explains_each_certificate_error_by_itself(
    listen: Listen, trusted: Path, changes: dict[str, object], expected: str
) -> None:
    own = issue("me", AUTHORITY, **changes)  # type: ignore[arg-type]
    line = await line_of(await listen(own), trusted)
    assert expected in line
    assert "Reached" not in line


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("WRONG_VERSION_NUMBER", "does not speak TLS there"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "TLS versions"),
        ("TLSV1_UNRECOGNIZED_NAME", "no TLS certificate for this name"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "client certificate"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "could not be made: sslv3 alert handshake failure"),
    ],
)
def test_check_explains_failed_handshakes(reason: str, expected: str) -> None:
    cause = ssl.SSLError(1, f"[SSL: {reason}] text")
    cause.reason = reason
    target = ConnectionKey(HERE, 443, True, True, None, None, None)  # noqa: FBT003 - a tuple of aiohttp's
    assert expected in explain_error(aiohttp.ClientConnectorSSLError(target, cause))


async def test_an_aborted_handshake_is_not_reported_as_an_unreachable_host(listen: Listen, trusted: Path) -> None:
    def old(context: ssl.SSLContext) -> None:
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # none that fits the key
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    line = await line_of(await listen(issue("me", AUTHORITY), adjust=old), trusted)
    assert "cannot be reached" not in line


async def test_check_explains_an_unreadable_ssl_cert_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        assert "SSL_CERT_FILE=" in await line_of("https://127.0.0.1:1/mcp", path)
