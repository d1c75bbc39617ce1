"""``env.example`` names every setting, in the order, with the defaults and with the help texts of the code.

``python -m tests.deploy.test_env_example`` rewrites it, below its head.
"""

import dotenv

from runflow_mcp.settings.config import Config
from tests.deploy.deploy_files import DEPLOY, assignments

FILE = DEPLOY / "env.example"


def example() -> str:
    """The file as it must be: its own head, then every setting."""
    head = FILE.read_text().partition("\n\n")[0]
    entries = [f"# {help_}\n{_shared(name)}{name}={default}" for name, _, default, _, help_ in Config().table()]
    return "\n\n".join([head, *entries]) + "\n"


def _shared(name: str) -> str:
    """A comment mark for names that other software reads too: set to nothing, some of them are not unset."""
    return "" if name.startswith(("MCP_", "RUNFLOW_")) else "#"


def test_the_file_has_every_setting_with_its_default_and_its_meaning() -> None:
    assert FILE.read_text() == example(), "rewrite it with: python -m tests.deploy.test_env_example"


def test_the_unedited_file_changes_nothing() -> None:
    as_systemd_reads = dict(assignments(FILE.read_text()))
    as_serve_reads = dotenv.dotenv_values(FILE)
    assert as_systemd_reads == as_serve_reads
    assert Config.from_mapping(as_systemd_reads) == Config()


def test_the_settings_that_it_advises_behind_a_proxy_are_accepted() -> None:
    lines = dict(assignments("\n".join(line.lstrip("# ").split("  ")[0] for line in FILE.read_text().splitlines()[:8])))
    advised = {name: value for name, value in lines.items() if name.startswith("MCP_") and " " not in name}
    assert set(advised) == {"MCP_PUBLIC_URL", "MCP_TRUSTED_PROXIES", "MCP_RATE_LIMIT_STORE"}
    config = Config.from_mapping(advised)
    assert "mcp.example.com" in config.allowed_hosts


if __name__ == "__main__":
    FILE.write_text(example())
