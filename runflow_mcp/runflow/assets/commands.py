"""The shell commands that a caller runs for a file, safe to paste whatever its name is. Pure.

For POSIX shells. A command is always one line, also for a name with a newline or other unprintable characters.
"""

import re

_HOME = re.compile(r"~/")
_ESCAPED = frozenset("\\'")


def upload_command(path: str, media_type: str, upload_url: str) -> str:
    """The ``curl`` line that uploads a file. ``-g``: curl does not expand braces and brackets."""
    return f"curl -gfsS -T {quote_path(path)} -H {quote(f'Content-Type: {media_type}')} {quote(upload_url)}"


def size_command(path: str) -> str:
    """The line that prints a file's size in bytes."""
    return f"wc -c < {quote_path(path)}"


def quote(text: str) -> str:
    """The text as one word of a shell command, always quoted."""
    return "'" + text.replace("'", "'\\''") + "'"


def quote_path(path: str) -> str:
    """A path as one word: a leading ``~/`` is the home directory, and a leading dash is not read as an option."""
    home, name = ("~/", path[2:]) if _HOME.match(path) else ("", path)
    if not home and name.startswith("-"):
        name = f"./{name}"
    if name.isprintable() or name.endswith("\n"):  # $(…) would remove newlines at the end
        return home + quote(name)
    return f"{home}\"$(printf '%b' '{''.join(map(_escaped, name))}')\""


def _escaped(character: str) -> str:
    """A character for ``printf %b``; its bytes in octal if it is unprintable or has a special meaning."""
    if character.isprintable() and character not in _ESCAPED:
        return character
    return "".join(f"\\0{byte:03o}" for byte in character.encode())
