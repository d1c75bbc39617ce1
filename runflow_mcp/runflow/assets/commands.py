"""The shell commands that a caller runs for a file, safe to paste whatever the file is called. Pure.

For POSIX shells. A command is one line, also for a name with a newline or other characters that do not print.
"""

import re

_HOME = re.compile(r"~/")
_ESCAPED = frozenset("\\'")


def upload_command(path: str, media_type: str, upload_url: str) -> str:
    """The ``curl`` line that uploads a file. ``-g``: braces and brackets in names and addresses mean themselves."""
    return f"curl -gfsS -T {quote_path(path)} -H {quote(f'Content-Type: {media_type}')} {quote(upload_url)}"


def size_command(path: str) -> str:
    """The line that prints a file's size in bytes."""
    return f"wc -c < {quote_path(path)}"


def quote(text: str) -> str:
    """The text as one word of a shell command, always in quotation marks."""
    return "'" + text.replace("'", "'\\''") + "'"


def quote_path(path: str) -> str:
    """A path as one word: a leading ``~/`` means the home directory, a leading dash does not mean an option."""
    home, name = ("~/", path[2:]) if _HOME.match(path) else ("", path)
    if not home and name.startswith("-"):
        name = f"./{name}"
    if name.isprintable() or name.endswith("\n"):  # $(…) would take newlines off the end
        return home + quote(name)
    return f"{home}\"$(printf '%b' '{''.join(map(_escaped, name))}')\""


def _escaped(character: str) -> str:
    """A character as ``printf %b`` reads it; its bytes in octal if it does not print or has a meaning of its own."""
    if character.isprintable() and character not in _ESCAPED:
        return character
    return "".join(f"\\0{byte:03o}" for byte in character.encode())
