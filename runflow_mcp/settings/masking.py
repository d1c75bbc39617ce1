"""The values of settings as they may be shown: passwords in URLs, well-formed or not, are masked. Pure."""

import re

MASK = "***"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
#: A host and an optional valid port, before a path or the end.
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:/]*)(?::(?:[0-9]{1,4}|[1-6][0-9]{4})?)?(?:/|\Z)")


def mask_url_password(value: str) -> str:
    """The URL with everything that could be a password replaced."""
    scheme, separator, rest = value.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):  # the :// may be part of the password
        scheme, separator, rest = "", "", value
    before, at, host = rest.rpartition("@")
    if not at:
        return f"{scheme}{separator}{_mask_address(rest)}"
    if re.search("[?#]", before):
        return f"{scheme}{separator}{MASK}"  # the @ may be part of a query, and so may the password
    user, colon, _ = before.partition(":")
    if not separator or not colon or re.search("[/@]", user):
        user = colon = ""  # of a misspelt URL only the host is shown
    return f"{scheme}{separator}{user}{colon}{MASK}@{_mask_address(host)}"


def _mask_address(text: str) -> str:
    """Host, port and path; what follows ``?`` or ``#`` is replaced, and so is an invalid port."""
    found = re.search(r"[?#](?=.)", text, re.DOTALL)  # some clients accept a password there
    address, rest = (text[: found.start()], f"{found[0]}{MASK}") if found else (text, "")
    if not _HOST_AND_PORT.match(address):  # a password whose host was forgotten
        address = f"{address.partition(':')[0]}:{MASK}"
    return f"{address}{rest}"


def masked(text: str, kind: str) -> str:
    """The text of a setting with passwords masked; ``kind`` is the setting's type."""
    if kind == "list":
        return ",".join(masked(item, "text") for item in text.split(","))
    return mask_url_password(text) if kind in ("url", "origin") or "@" in text else text


def display_text(value: object, kind: str) -> str:
    """The parsed value of a setting as it would be written in the setting, with passwords masked."""
    if value is None:
        return ""
    if kind == "ms" and isinstance(value, float):
        return str(round(value * 1000))
    text = ",".join(str(item) for item in value) if isinstance(value, tuple) else str(value)
    return masked(text, kind)
