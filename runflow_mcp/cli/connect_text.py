"""What ``runflow-mcp connect`` prints: the clients, or how one of them is connected. Pure."""

from textwrap import indent

from runflow_mcp.client_recipes import Recipe, recipes

#: What is coloured on a terminal.
COLORS = {r"(?m)^\S.*:$": "cyan", r"<your Runflow API key>": "yellow"}


def overview(url: str) -> str:
    """The clients by name."""
    found = recipes(url)
    width = max(len(recipe.name) for recipe in found)
    names = "\n".join(f"  {recipe.name:{width}}  {recipe.title}" for recipe in found)
    return f"Clients:\n\n{names}\n\nrunflow-mcp connect CLIENT prints how to connect one of them to {url}."


def instructions(client: str, url: str) -> str:
    """How the client of this name is connected: its command or link first, then its file."""
    [recipe] = [recipe for recipe in recipes(url) if recipe.name == client]
    return "\n\n".join(_blocks(recipe))


def _blocks(recipe: Recipe) -> list[str]:
    blocks: list[str] = []

    def add(heading: str, text: str | None) -> None:
        if text is not None:
            blocks.append(f"{'Or ' + heading[0].lower() + heading[1:] if blocks else heading}:\n\n{indent(text, '  ')}")

    add(f"In a terminal, to connect {recipe.title}", recipe.shell)
    add(f"Open this link, which adds the server to {recipe.title}", recipe.install_link)
    if recipe.steps:
        add(f"In {recipe.title}", "\n".join(recipe.steps))
    if recipe.file is not None:
        add(f"For {recipe.title}, in {recipe.file.place}", recipe.file.content)
    return [*blocks, f"Key:    {recipe.key}\nCheck:  {recipe.check}"]
