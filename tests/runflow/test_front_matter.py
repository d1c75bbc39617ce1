"""The front matter of a skill: read as hosts read it, and completed where members are missing."""

from time import perf_counter
from typing import Any

import pytest

from runflow_mcp.runflow.catalog.front_matter import MAX_LENGTH, with_front_matter

NAME, DESCRIPTION = "runflow", "Runs models."
HEAD = "name: runflow\ndescription: Makes pictures.\n"


def skill(front_matter: str, body: str = "\n# Runflow\n") -> str:
    return f"---\n{front_matter}---\n{body}"


def served(markdown: str) -> tuple[str, Any]:
    return with_front_matter(markdown, NAME, DESCRIPTION)


def test_a_complete_skill_is_served_unchanged() -> None:
    markdown = skill(HEAD + "license: MIT\n")
    assert served(markdown) == (
        markdown,
        {"name": "runflow", "description": "Makes pictures.", "license": "MIT"},
    )


@pytest.mark.parametrize("markdown", [skill(HEAD).replace("\n", "\r\n"), f"---\n{HEAD}---", f"---\n{HEAD}---  \nx"])
def test_line_ends_and_space_at_the_end_do_not_matter(markdown: str) -> None:
    assert served(markdown) == (markdown, {"name": "runflow", "description": "Makes pictures."})


@pytest.mark.parametrize(
    ("yaml", "value"),
    [
        ("1.0.0", "1.0.0"),
        ("1.0", 1.0),
        ("1", 1),
        ("-12", -12),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("9007199254740993", 9007199254740993),
        ("123456789012345678901", 123456789012345678901.0),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ('"a\\tb"', "a\tb"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("[a, 1, {b: c}]", ["a", 1, {"b": "c"}]),
        ("\n  author: x\n  version: '1'", {"author": "x", "version": "1"}),
        ("\n  - a\n  - b", ["a", "b"]),
        (">\n  one\n  two\n", "one two\n"),
        ("|-\n  one\n  two", "one\ntwo"),
        ("a ! b", "a ! b"),
        ("مرحبا \u200f", "مرحبا \u200f"),
        ("x # a comment", "x"),
    ],
    ids=ascii,
)
def test_values_are_read_as_yaml_1_2_defines_them(yaml: str, value: object) -> None:
    markdown = skill(f"{HEAD}more: {yaml}\n")
    text, front_matter = served(markdown)
    assert text == markdown
    assert front_matter["more"] == value
    assert type(front_matter["more"]) is type(value)


@pytest.mark.parametrize(
    ("front_matter", "expected"),
    [
        ("description: Makes pictures.\n", {"name": NAME, "description": "Makes pictures."}),
        ("name: runflow\n", {"name": "runflow", "description": DESCRIPTION}),
        ("name: my-skill-2\n", {"name": "my-skill-2", "description": DESCRIPTION}),
        ("license: MIT\n", {"license": "MIT", "name": NAME, "description": DESCRIPTION}),
        ("", {"name": NAME, "description": DESCRIPTION}),
        ("# only a comment\n", {"name": NAME, "description": DESCRIPTION}),
        *(
            (f"name: {name}\n", {"name": NAME, "description": DESCRIPTION})
            for name in ("Runflow", "a b", "-a", "a-", "a--b", "a/b", "..", "5", "null", "[a]", "a" * 65, "%2e%2e", "é")
        ),
        *(
            (f"description: {text}\n", {"name": NAME, "description": DESCRIPTION})
            for text in ("", "''", "'  '", "5", "true", "[a]", "{a: b}")
        ),
    ],
    ids=ascii,
)
def test_what_hosts_require_is_completed(front_matter: str, expected: dict[str, object]) -> None:
    text, found = served(skill(front_matter))
    assert found == expected
    assert text.endswith("---\n\n# Runflow\n")
    assert served(text) == (text, expected), "a completed skill is a complete one"


def test_space_after_the_first_dashes_is_removed_since_some_hosts_do_not_allow_it() -> None:
    text, found = served(f"--- \n{HEAD}---\n# x")
    assert found == {"name": "runflow", "description": "Makes pictures."}
    assert text == '---\n"name": "runflow"\n"description": "Makes pictures."\n---\n# x'


def test_a_skill_without_front_matter_gets_one() -> None:
    text, found = served("# Runflow\n")
    assert found == {"name": NAME, "description": DESCRIPTION}
    assert text == '---\n"name": "runflow"\n"description": "Runs models."\n---\n\n# Runflow\n'


def test_a_rule_in_the_text_is_not_taken_for_a_front_matter() -> None:
    markdown = "---\n\nFirst part.\n\n---\n\nSecond part.\n"
    text, found = served(markdown)
    assert found == {"name": NAME, "description": DESCRIPTION}
    assert text.endswith(markdown)


def test_a_description_with_a_colon_is_read_although_yaml_does_not_allow_it() -> None:
    markdown = skill("name: runflow\ndescription: Use it for this: pictures.\n")
    text, found = served(markdown)
    assert found == {"name": "runflow", "description": "Use it for this: pictures."}
    assert text.endswith(markdown)
    assert served(text) == (text, found)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    "front_matter",
    [
        BOMB,
        "a: &a\n  - *a\n",
        "a: 1\na: 2\n",
        "? [a]\n: b\n",
        "[" * 2000 + "\n",
        "- " * 2000 + "\n",
        "{" * 2000 + "\n",
        "a: b\n" * 2000,
        "a: [\n",
        "a: *b\n",
        "\ta: b\n",
        "- a\n",
        "just text\n",
        "a: \x00\n",
        "x: " + "y" * MAX_LENGTH + "\n",
        "%YAML 9.9\n",
        "a: b\n...\nc: d\n",
        "a: &anchor x\n",
        "a: .inf\n",
        "a: -.Inf\n",
        "a: .NaN\n",
        "a: 1e999\n",
        f"a: {'9' * 400}\n",
        "a: !!binary aGk=\n",
        "a: !!python/object:os.system x\n",
        "!!str a: b\n",
    ],
    ids=lambda text: ascii(text[:16]),
)
def test_a_front_matter_that_cannot_be_read_stays_below_one_that_can(front_matter: str) -> None:
    began = perf_counter()
    markdown = skill(front_matter)
    text, found = served(markdown)
    assert found == {"name": NAME, "description": DESCRIPTION}
    assert text.endswith(markdown)
    assert perf_counter() - began < 5
