"""The files of ``deploy/`` as data: nginx directives, and lines of ``NAME=value``. Judges none of them."""

import re
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SITE = DEPLOY / "nginx" / "runflow-mcp.conf"

_NGINX_WORD = re.compile(r"""\s+|\#[^\n]*|([{};])|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|((?:\$\{|[^\s{};"'])+)""")


@attrs.frozen
class Directive:
    """One nginx directive: its words, and what its block holds."""

    words: tuple[str, ...]
    block: tuple["Directive", ...] = ()

    @property
    def name(self) -> str:
        return self.words[0]

    @property
    def value(self) -> str:
        return " ".join(self.words[1:])

    def all(self, name: str) -> list["Directive"]:
        """The directives of this name in this block itself."""
        return [directive for directive in self.block if directive.name == name]

    def values(self, name: str) -> list[str]:
        return [directive.value for directive in self.all(name)]

    def value_of(self, name: str) -> str:
        """The value of the only directive of this name."""
        (value,) = self.values(name)
        return value

    def inside(self, name: str, value: str = "") -> "Directive":
        """The only block of this name, and value if it has one."""
        (found,) = [directive for directive in self.all(name) if directive.value == value]
        return found


def read_nginx(path: Path) -> Directive:
    """The whole file, as the block of a directive without a name."""
    text = path.read_text()
    stack: list[list[Directive]] = [[]]
    heads: list[tuple[str, ...]] = []
    words: list[str] = []
    position = 0
    while position < len(text):
        match = _NGINX_WORD.match(text, position)
        assert match, f"{path.name}: unexpected text {text[position : position + 40]!r}"
        position = match.end()
        sign, *written = match.groups()
        if sign == ";":
            stack[-1].append(Directive(tuple(words)))
            words = []
        elif sign == "{":
            heads.append(tuple(words))
            stack.append([])
            words = []
        elif sign == "}":
            block = tuple(stack.pop())
            stack[-1].append(Directive(heads.pop(), block))
        else:
            words += [word for word in written if word is not None]
    assert not words, f"{path.name} ends within a directive"
    (whole,) = stack
    return Directive(("",), tuple(whole))


def seconds(text: str) -> float:
    """An nginx, systemd or compose time: ``10s``, ``1d``; a bare number is seconds."""
    match = re.fullmatch(r"([0-9.]+)(ms|s|m|h|d|)", text)
    assert match, text
    return float(match[1]) * {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def size(text: str) -> int:
    """Bytes of ``256k``, ``1G``, ``512m``."""
    match = re.fullmatch(r"(\d+)([kmg]?)", text.lower())
    assert match, text
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}[match[2]]


def assignments(text: str) -> list[tuple[str, str]]:
    """Every ``NAME=value`` line, in order, comments left out: an environment file, or a unit of systemd."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and line[0] not in "#;["]
    return [(name, value) for name, _, value in pairs]
