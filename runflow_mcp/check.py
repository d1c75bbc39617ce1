"""The smoke test of a running server (``runflow-mcp check``)."""


async def check(url: str, key: str, generate: list[str] | None) -> int:
    raise NotImplementedError
