"""A minimal HTTP/2 client (RFC 9113) that shows what nginx sends and when: one request on one connection.

Headers go out as literals; of the answer's header block only the status 200, always sent as one byte, is read.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Mapping

_HOST = "127.0.0.1"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_STATUS_200 = 0x88
_SMALLEST_FRAME = 16_384


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: str, value: str) -> bytes:
    assert len(value) < 127, "longer values have another encoding"
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


async def post(
    port: int, headers: Mapping[str, str], body: bytes, *, context: ssl.SSLContext, source: str
) -> AsyncIterator[bytes]:
    """POST to /mcp, and yield the body of the answer, which must be a 200, piece by piece as it arrives."""
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await asyncio.open_connection(_HOST, port, ssl=context, local_addr=(source, 0))
    try:
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        pseudo = {":method": "POST", ":scheme": "https", ":authority": f"{_HOST}:{port}", ":path": "/mcp"}
        block = b"".join(_literal(name.lower(), value) for name, value in {**pseudo, **headers}.items())
        assert max(len(block), len(body)) <= _SMALLEST_FRAME
        writer.write(
            _PREFACE
            + _frame(_SETTINGS, 0, 0)
            + _frame(_HEADERS, _END_HEADERS, 1, block)
            + _frame(_DATA, _END_STREAM, 1, body)
        )
        ended = False
        while not ended:
            head = await reader.readexactly(9)
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = await reader.readexactly(length)
            assert kind not in (_RST_STREAM, _GOAWAY), payload
            if kind == _SETTINGS and not flags & _ACK:
                writer.write(_frame(_SETTINGS, _ACK, 0))
            elif kind == _HEADERS:
                assert _STATUS_200 in payload[:2], payload
            elif kind == _DATA:
                yield payload
            ended = stream == 1 and kind in (_DATA, _HEADERS) and bool(flags & _END_STREAM)
    finally:
        writer.close()
        await writer.wait_closed()
