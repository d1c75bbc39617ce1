"""Whether a run was made from another input than the call's."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.json_types import JSONObject
from runflow_mcp.runflow.dispatch.inputs import input_digest, is_other_input
from runflow_mcp.runflow.runs.run import Run, parse_run
from tests.protocol.property_settings import json_values, law

PROMPT = "A lighthouse at dusk, in the style of an old postcard"


def run_of(stored: object, recorded: JSONObject | None = None) -> Run:
    """A run with this input, with the digest of ``recorded`` in its metadata."""
    metadata = None if recorded is None else {"mcp_input_sha256": input_digest(recorded)}
    run = parse_run({"id": "r-1", "input": stored, "metadata": metadata})
    assert run is not None
    return run


def is_other(sent: JSONObject, run: Run, sent_digest: str | None) -> bool:
    return is_other_input(input_digest(sent), lambda: sent, run, sent_digest)


#: sent, and the same as an upstream may store it.
SAME: list[tuple[JSONObject, object]] = [
    ({"prompt": PROMPT}, {"prompt": PROMPT}),
    ({"prompt": f"  {PROMPT}\r\n"}, {"prompt": PROMPT}),
    ({"prompt": "caf\u00e9"}, {"prompt": "cafe\u0301"}),
    ({"prompt": "a\n\n b"}, {"prompt": "a b"}),
    ({"prompt": PROMPT}, {"prompt": PROMPT[:40]}),
    ({"prompt": PROMPT}, {"prompt": PROMPT[:40] + "\u2026"}),
    ({"prompt": PROMPT}, {"prompt": PROMPT, "steps": 20, "seed": None}),
    ({"prompt": PROMPT, "seed": None}, {"prompt": PROMPT}),
    ({"prompt": PROMPT, "seed": None}, {"prompt": PROMPT, "seed": 5}),
    ({"prompt": PROMPT, "negative_prompt": ""}, {"prompt": PROMPT, "negative_prompt": "blurry"}),
    ({"prompt": PROMPT, "unheard_of": 1}, {"prompt": PROMPT}),
    ({"ratio": "LANDSCAPE"}, {"ratio": "landscape"}),
    ({"seed": 5}, {"seed": 5.0}),
    ({"seed": 5}, {"seed": "5"}),
    ({"seed": "5.0"}, {"seed": 5}),
    ({"strength": 0.1}, {"strength": 0.10000000149}),
    ({"seed": 2**60}, {"seed": float(2**60)}),
    ({"safe": True}, {"safe": "true"}),
    ({"safe": True}, {"safe": 1}),
    ({"safe": 0}, {"safe": False}),
    ({"safe": "no"}, {"safe": False}),
    ({"prompt": "it\u2019s \u201ca cat\u201d \u2014 grey"}, {"prompt": 'it\'s "a cat" - grey'}),
    ({"prompt": "Tom & <b>Jerry</b>"}, {"prompt": "Tom &amp; &lt;b&gt;Jerry&lt;/b&gt;"}),
    ({"prompt": "a\u200b cat\ufeff"}, {"prompt": "a cat"}),
    ({"b": 1, "a": {"d": 1, "c": 2}}, {"a": {"c": 2, "d": 1}, "b": 1}),
    ({"images": ["a", "b"]}, {"images": ["A ", "b"]}),
    ({"image": "https://cdn.example.com/a.png"}, {"image": "https://CDN.example.com/a.png?X-Signature=1"}),
    ({"image": "https://cdn.example.com/a.png"}, {"image": "https://storage.example.net/8f3a.png"}),
    ({"image": "runflow://assets/1"}, {"image": "https://storage.example.net/8f3a.png?sig=2"}),
    ({"image": "data:image/png;base64,AAAA"}, {"image": "https://storage.example.net/8f3a.png"}),
    ({"image": "https://cdn.example.com/a.png"}, {"image": {"url": "https://cdn.example.com/a.png"}}),
    ({"prompt": PROMPT}, {}),
    ({"prompt": PROMPT}, None),
    ({"prompt": PROMPT}, "left out"),
    ({"prompt": PROMPT}, ["left out"]),
]
#: sent, and an input that plainly differs.
OTHER: list[tuple[JSONObject, object]] = [
    ({"prompt": PROMPT}, {"prompt": "A harbour"}),
    ({"prompt": PROMPT}, {"prompt": PROMPT + " by night"}),
    ({"prompt": "a cat"}, {"prompt": "a"}),
    ({"prompt": PROMPT, "seed": 5}, {"prompt": PROMPT, "seed": 6}),
    ({"seed": "five"}, {"seed": 5}),
    ({"safe": True}, {"safe": False}),
    ({"safe": True}, {"safe": 0}),
    ({"safe": True}, {"safe": 5}),
    ({"prompt": "a cat \u2014 grey"}, {"prompt": "a cat \u2014 black"}),
    ({"images": ["a"]}, {"images": ["a", "b"]}),
    ({"images": ["a", "b"]}, {"images": ["b", "a"]}),
    ({"options": {"size": "s"}}, {"options": {"size": "l"}}),
    ({"image": "https://cdn.example.com/a.png"}, {"image": "https://cdn.example.com/b.png"}),
    ({"image": "https://cdn.example.com/a.png"}, {"image": "a picture of a cat"}),
]


@pytest.mark.parametrize(("sent", "stored"), SAME, ids=repr)
def test_an_input_that_upstream_normalised_is_the_same_input(sent: JSONObject, stored: object) -> None:
    assert not is_other(sent, run_of(stored), None)
    assert not is_other(sent, run_of(stored, recorded=sent), None)
    assert not is_other(sent, run_of(stored), input_digest(sent))


@pytest.mark.parametrize(("sent", "stored"), OTHER, ids=repr)
def test_an_input_that_plainly_differs_is_another_input(sent: JSONObject, stored: object) -> None:
    assert is_other(sent, run_of(stored), None)


@pytest.mark.parametrize(("sent", "stored"), OTHER, ids=repr)
def test_a_digest_of_this_input_outweighs_what_upstream_made_of_it(sent: JSONObject, stored: object) -> None:
    assert not is_other(sent, run_of(stored, recorded=sent), None)
    assert not is_other(sent, run_of(stored), input_digest(sent))


def test_a_digest_of_another_input_decides_where_the_input_is_not_stored() -> None:
    sent: JSONObject = {"prompt": PROMPT}
    for recorded in ({"prompt": "A harbour"}, {"prompt": PROMPT, "seed": 5}):
        assert is_other(sent, run_of(None, recorded), None)
        assert is_other(sent, run_of(recorded, recorded), None)
        assert is_other(sent, run_of(None), input_digest(recorded))


def test_another_input_in_other_words_is_the_same_in_spite_of_its_digest() -> None:
    first: JSONObject = {"prompt": f"{PROMPT} ", "seed": 5}
    assert not is_other({"prompt": PROMPT, "seed": 5.0}, run_of(first, first), None)


@pytest.mark.parametrize("kept", [str.upper, lambda digest: digest[:50], lambda digest: f" {digest}"])
def test_a_digest_that_upstream_normalised_is_read(kept: Any) -> None:
    sent: JSONObject = {"prompt": PROMPT}
    run = parse_run({"id": "r-1", "metadata": {"mcp_input_sha256": kept(input_digest(sent))}})
    assert run is not None
    assert not is_other(sent, run, None)


@law
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_an_input_is_never_another_one_than_itself(value: dict[str, Any]) -> None:
    assert not is_other(value, run_of(orjson.loads(orjson.dumps(value))), None)


@law
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5), json_values)
def test_no_stored_input_makes_the_comparison_fail(value: dict[str, Any], stored: object) -> None:
    is_other(value, run_of(stored), None)


def _turned(value: object) -> object:
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value


@law
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_members(value: dict[str, Any]) -> None:
    turned = _turned(value)
    assert isinstance(turned, dict)
    assert input_digest(value) == input_digest(turned) == input_digest(orjson.loads(orjson.dumps(value)))
    assert len(input_digest(value)) == 64


def test_a_digest_depends_on_everything_else() -> None:
    inputs: list[dict[str, Any]] = [{}, {"a": None}, {"a": 1}, {"a": "1"}, {"a": [1]}, {"a": [1, 2]}, {"a": [2, 1]}]
    assert len(set(map(input_digest, inputs))) == len(inputs)
