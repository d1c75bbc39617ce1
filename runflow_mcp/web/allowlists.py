"""The Host and Origin headers that the entries of an allowlist admit. Pure."""

_DEFAULT_PORT = {"http": "80", "https": "443"}


def has_port(host: str) -> bool:
    """Whether ``host`` ends in a port; the colons of ``[::1]`` do not begin one."""
    _, colon, port = host.rpartition(":")
    return bool(colon) and port.isdigit()


def expand_hosts(hosts: tuple[str, ...]) -> frozenset[str]:
    """Every Host header that the entries admit: one without a port also admits 80 and 443."""
    expanded = {host.lower() for host in hosts}
    expanded |= {f"{host}:{port}" for host in expanded if not has_port(host) for port in _DEFAULT_PORT.values()}
    return frozenset(expanded)


def expand_origins(origins: tuple[str, ...]) -> frozenset[str]:
    """Every Origin header that the entries admit, with and without the default port, which browsers leave out."""
    expanded = {origin.lower() for origin in origins}
    for origin in tuple(expanded):
        scheme, _, host = origin.partition("://")
        default = _DEFAULT_PORT.get(scheme)
        if default is None:  # the origins of browser extensions and desktop programs have no port
            continue
        expanded.add(origin.removesuffix(f":{default}") if has_port(host) else f"{origin}:{default}")
    return frozenset(expanded)
