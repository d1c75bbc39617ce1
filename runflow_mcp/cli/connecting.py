"""The command ``connect``: how a client is connected to the server."""

import argparse

from runflow_mcp.cli import connect_text, screen, terminal
from runflow_mcp.cli.arguments import check_client_name
from runflow_mcp.cli.environment import USAGE_ERROR, load_config, read_environment
from runflow_mcp.cli.server_url import endpoint_url
from runflow_mcp.cli.welcome import client_url

_EXAMPLE_URL = "https://mcp.example.com/mcp"


def connect_command(arguments: argparse.Namespace) -> int:
    check_client_name(arguments)
    environ = read_environment()
    if arguments.url is None:
        config = load_config(environ)
        if config is None:
            return USAGE_ERROR
        url = client_url(config)
    else:
        try:
            url = str(endpoint_url(arguments.url))
        except ValueError:
            terminal.print_error(f"This URL cannot be used. Write it like {_EXAMPLE_URL}, without a user name.")
            return USAGE_ERROR
    text = connect_text.instructions(arguments.client, url) if arguments.client else connect_text.overview(url)
    screen.print_text(text, environ, connect_text.COLORS)
    return 0
