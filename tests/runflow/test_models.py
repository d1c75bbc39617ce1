"""The catalog read from each of its shapes, and the filters and order of ``list_models``."""

from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.identifiers import model_problem
from runflow_mcp.methods.tools.list_models import listing as shown
from runflow_mcp.runflow.catalog.entries import CATEGORIES, CatalogUnreadable, Model, Snapshot, parse_catalog
from runflow_mcp.runflow.catalog.model_inputs import Input
from runflow_mcp.runflow.catalog.search import select
from runflow_mcp.sandbox import catalog as sandbox_catalog
from tests.protocol.laws import json_values, law

ENTRY = {
    "provider_slug": "google",
    "model_slug": "nano-banana-2",
    "model_name": "Nano Banana 2",
    "category": "text-to-image",
}


def read(*entries: object) -> Snapshot:
    return parse_catalog(orjson.dumps(entries))


def model(**fields: object) -> Model:
    [found] = read(ENTRY | fields).models
    return found


def inputs(**fields: object) -> tuple[Input, ...]:
    return model(**fields).inputs


# Shapes of the document


@pytest.mark.parametrize(
    "wrap",
    [
        lambda entries: entries,
        lambda entries: {"models": entries},
        lambda entries: {"items": entries},
        lambda entries: {"version": 3, "models": entries, "items": None},
    ],
)
def test_a_catalog_is_a_list_or_an_object_with_one(wrap: Any) -> None:
    snapshot = parse_catalog(orjson.dumps(wrap([ENTRY])))
    assert [one.name for one in snapshot.models] == ["google/nano-banana-2"]
    assert snapshot.skipped == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><html></html>",
        b"null",
        b'"x"',
        b"{}",
        b'{"error":"x"}',
        b'{"models":{}}',
        b'{"models":null}',
        b'{"code":"RATE_LIMITED","message":"x","errors":null}',
        b"[1, 2]",
        b'[{"no":"slug"}]',
        b'{"models":[null]}',
        b"[" * 5000,
        b"\xff",
    ],
    ids=repr,
)
def test_what_is_no_catalog_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(CatalogUnreadable):
        parse_catalog(body)


def test_an_empty_catalog_is_a_catalog() -> None:
    assert read().models == ()


@law
@given(st.lists(json_values | st.dictionaries(st.sampled_from([*ENTRY, "runs_endpoint"]), json_values), max_size=6))
def test_no_entry_makes_the_reader_fail(entries: list[object]) -> None:
    snapshot = read(*entries, ENTRY)
    assert len(snapshot.models) + snapshot.skipped <= len(entries) + 1
    for one in snapshot.models:
        assert model_problem(one.name) is None
        assert one.runs_endpoint == f"/v1/models/{one.name}/runs"
        orjson.dumps(shown(one))


@law
@given(
    st.fixed_dictionaries(dict.fromkeys(["inputs", "input_schema", "pricing", "description", "status"], json_values))
)
def test_odd_details_cost_no_entry(fields: dict[str, object]) -> None:
    assert len(read(ENTRY | fields).models) <= 1
    assert read(ENTRY | fields).skipped == 0


@pytest.mark.parametrize(
    "poison",
    [
        None,
        5,
        "google/x",
        [],
        {},
        {"provider_slug": "a"},
        {"model_slug": "b"},
        {"provider_slug": 1, "model_slug": 2},
        {"provider_slug": "..", "model_slug": "x"},
        {"provider_slug": "a", "model_slug": "../../v1/keys"},
        {"provider_slug": "a", "model_slug": "b?x=1"},
        {"provider_slug": "a", "model_slug": "b#"},
        {"provider_slug": "a", "model_slug": "b c"},
        {"provider_slug": "a", "model_slug": "x" * 300},
        {"runs_endpoint": "/v1/models//runs"},
        {"runs_endpoint": "/v1/keys"},
        ENTRY,
    ],
    ids=str,
)
def test_a_bad_entry_is_skipped_and_counted(poison: object) -> None:
    snapshot = read(ENTRY, poison, ENTRY | {"model_slug": "other"})
    assert [one.name for one in snapshot.models] == ["google/nano-banana-2", "google/other"]
    assert snapshot.skipped == 1


@pytest.mark.parametrize("field", ["pricing", "price", "pricing_note"])
def test_a_price_that_is_nested_for_ever_does_not_spoil_the_list(field: str) -> None:
    """What was read must also be possible to write, or one entry would take the whole list with it."""
    deep = b"[" * 600 + b"]" * 600
    body = orjson.dumps([ENTRY, ENTRY | {"model_slug": "deep", field: orjson.Fragment(deep)}])
    snapshot = parse_catalog(body)
    assert "google/nano-banana-2" in [one.name for one in snapshot.models]
    for one in snapshot.models:
        orjson.dumps({"structuredContent": {"models": [shown(one)]}})


# One entry


def test_the_documented_fields_are_read() -> None:
    found = model(description=" Fast. ", pricing={"unit": "image", "usd": "0.04"})
    assert found == Model(
        name="google/nano-banana-2",
        provider_slug="google",
        model_slug="nano-banana-2",
        model_name="Nano Banana 2",
        category="text-to-image",
        runs_endpoint="/v1/models/google/nano-banana-2/runs",
        description="Fast.",
        pricing={"unit": "image", "usd": "0.04"},
        inputs=(),
    )


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"provider_slug": "a", "model_slug": "b"}, "a/b"),
        ({"provider_slug": "a", "model_slug": "b/c/2.0"}, "a/b/c/2.0"),
        ({"provider_slug": "a", "model_slug": "a/b"}, "a/b"),
        ({"provider": "a", "slug": "b"}, "a/b"),
        ({"slug": "a/b"}, "a/b"),
        ({"slug": "a/b/c", "provider_slug": None}, "a/b/c"),
        ({"runs_endpoint": "/v1/models/a/b/c/runs"}, "a/b/c"),
        ({"runs_endpoint": "/v1/models/a/b/runs", "provider_slug": "", "model_slug": None}, "a/b"),
    ],
)
def test_a_model_is_named_in_one_of_several_ways(entry: dict[str, object], name: str) -> None:
    [found] = read(entry).models
    assert (found.name, found.runs_endpoint) == (name, f"/v1/models/{name}/runs")
    assert found.model_name


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("/v1/models/google/nano-banana-2/runs", "google/nano-banana-2"),
        ("/v1/models/google-prod/nano-banana-2/runs", "google-prod/nano-banana-2"),
        ("/v1/models/google/nano-banana-2/v2/fast/runs", "google/nano-banana-2/v2/fast"),
        (" /v1/models/google/nb2/runs/ ", "google/nb2"),
        ("v1/models/google/nb2/runs", "google/nb2"),
        ("https://api.runflow.io/v1/models/google/nb2/runs", "google/nb2"),
        ("https://gateway.example.com/runflow/v1/models/google/nb2/runs?x=1", "google/nb2"),
        ("POST /v1/models/google/nb2/runs", "google/nb2"),
        ("/v1/models/google/runs/runs", "google/runs"),
        # What is not well-formed decides nothing.
        ("/v1/models/google/runs", "google/nano-banana-2"),
        ("/v1/models/../keys/runs", "google/nano-banana-2"),
        ("/v1/models/google/n b/runs", "google/nano-banana-2"),
        ("/v1/models/{provider}/{slug}/runs", "google/nano-banana-2"),
        ("/v2/models/google/nb2/runs", "google/nano-banana-2"),
        ("/v1/models/google/nb2", "google/nano-banana-2"),
        ("", "google/nano-banana-2"),
        (None, "google/nano-banana-2"),
        (["/v1/models/google/nb2/runs"], "google/nano-banana-2"),
    ],
)
def test_a_well_formed_endpoint_decides_what_is_called(endpoint: object, name: str) -> None:
    found = model(runs_endpoint=endpoint)
    assert (found.name, found.runs_endpoint) == (name, f"/v1/models/{name}/runs")
    assert (found.provider_slug, found.model_slug) == ("google", "nano-banana-2"), "what people look for stays"
    assert shown(found)["model"] == name


@pytest.mark.parametrize("slugs", [{"model_slug": "not a slug"}, {"provider_slug": ".."}, {"model_slug": None}])
def test_an_entry_with_an_endpoint_needs_no_good_slugs(slugs: dict[str, object]) -> None:
    found = model(**slugs, runs_endpoint="/v1/models/a/b/c/runs")
    assert (found.name, found.provider_slug, found.model_slug) == ("a/b/c", "a", "b/c")


def test_two_entries_that_call_the_same_are_one() -> None:
    snapshot = read(ENTRY, ENTRY | {"model_slug": "alias", "runs_endpoint": "/v1/models/google/nano-banana-2/runs"})
    assert [one.name for one in snapshot.models] == ["google/nano-banana-2"]
    assert snapshot.skipped == 1


@pytest.mark.parametrize(
    "spelling",
    ["text-to-image", "text_to_image", "Text to image", "TEXT-TO-IMAGE", " Text  To_Image "],
)
@pytest.mark.parametrize("field", ["category", "category_code"])
def test_a_category_is_spelt_in_several_ways(field: str, spelling: str) -> None:
    [found] = read({"provider_slug": "a", "model_slug": "b", field: spelling}).models
    assert found.category == "text-to-image"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": "active"},
        {"status": "Active"},
        {"status_code": "active"},
        {"is_active": True},
        {"active": True},
        {"availability_status": "available"},
        {"status": None, "is_active": None},
        {"is_active": "true"},
        {"active": "Yes"},
        {"is_active": 1},
        {"active": "1"},
        {"is_active": "perhaps"},
        {"status": True},
        {"status_code": 0},
    ],
    ids=str,
)
def test_an_entry_is_active_unless_it_says_otherwise(fields: dict[str, object]) -> None:
    assert model(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "inactive"},
        {"status": "Deprecated"},
        {"status_code": "disabled"},
        {"status_code": " RETIRED "},
        {"is_active": False},
        {"active": False},
        {"availability_status": "unavailable"},
        {"is_active": None, "status": "archived"},
        {"status": "active", "is_active": False},
        {"is_active": "false"},
        {"active": " No "},
        {"is_active": 0},
        {"active": "0"},
        {"is_active": "off"},
        {"is_active": "perhaps", "active": "FALSE"},
        {"status": False},
        {"status": "false"},
        {"availability_status": "removed"},
        {"status": "COMING_SOON"},
        {"status_code": "coming-soon"},
        {"status": "discontinued"},
        {"availability_status": "Not available"},
    ],
    ids=str,
)
def test_an_inactive_entry_is_left_out_and_not_counted_as_bad(fields: dict[str, object]) -> None:
    snapshot = read(ENTRY | fields, ENTRY | {"model_slug": "other"})
    assert [one.model_slug for one in snapshot.models] == ["other"]
    assert snapshot.skipped == 0


@pytest.mark.parametrize("field", ["pricing", "pricing_note", "price"])
@pytest.mark.parametrize("price", ["$0.04/image", {"usd": 0.04}, 0.04])
def test_a_price_stands_under_one_of_several_names(field: str, price: object) -> None:
    assert model(**{field: price}).pricing == price


@pytest.mark.parametrize("price", [0, 0.0, "0", "0.00", "free", {"usd": 0}, [{"unit": "image", "usd": "0"}], 12, -1])
def test_a_price_may_be_nothing_and_of_any_shape(price: object) -> None:
    assert model(pricing=price).pricing == price


@pytest.mark.parametrize("price", [False, True, "", "  ", {}, [], None])
def test_what_tells_no_price_is_none_and_hides_no_other(price: object) -> None:
    assert model(pricing=price).pricing is None
    assert "pricing" not in shown(model(pricing=price))
    assert model(pricing=price, price=0).pricing == 0
    assert shown(model(pricing=price, price=0))["pricing"] == 0


def test_a_missing_name_is_the_slug() -> None:
    assert model(model_name=None).model_name == "nano-banana-2"
    assert model(model_name=None, name="NB").model_name == "NB"


def test_a_description_is_cut_to_a_sane_length() -> None:
    assert len(model(description="x" * 5000).description or "") <= 1000


# Inputs


def test_listed_inputs_are_read_required_first() -> None:
    found = inputs(
        inputs=[
            {"name": "seed", "type": "integer", "required": False, "description": "Any."},
            {"name": "prompt", "type": "string", "required": True},
            {"name": "ratio", "type": "string", "required": True, "enum": ["1:1", "16:9"]},
        ]
    )
    assert found == (
        Input("prompt", "string", required=True),
        Input("ratio", "string", required=True, values=("1:1", "16:9")),
        Input("seed", "integer", required=False, description="Any."),
    )


def test_inputs_in_the_apis_own_spelling_are_read() -> None:
    assert inputs(
        inputs=[{"name": "size", "variable_type_code": "string", "is_required": True, "options": ["s", "l"]}]
    ) == (Input("size", "string", required=True, values=("s", "l")),)


def test_a_null_counts_as_absent_in_an_input() -> None:
    assert inputs(
        inputs=[
            {
                "name": "size",
                "type": None,
                "variable_type_code": "string",
                "required": None,
                "is_required": True,
                "enum": None,
                "options": ["s"],
                "description": None,
            }
        ]
    ) == (Input("size", "string", required=True, values=("s",)),)


@pytest.mark.parametrize("field", ["input_schema", "inputs"])
def test_inputs_as_a_json_schema_are_read(field: str) -> None:
    schema = {
        "type": "object",
        "properties": {
            "seed": {"type": ["null", "integer"]},
            "prompt": {"type": "string", "description": "What."},
            "mode": {"enum": ["a", "b"]},
            "odd": True,
        },
        "required": ["prompt"],
    }
    assert inputs(**{field: schema}) == (
        Input("prompt", "string", required=True, description="What."),
        Input("seed", "integer", required=False),
        Input("mode", "string", required=False, values=("a", "b")),
    )


def test_options_with_labels_are_their_values() -> None:
    found = inputs(inputs=[{"name": "a", "options": [{"label": "Small", "value": "s"}, {"label": "?"}, 5, None, []]}])
    assert found[0].values == ("s", 5)


@pytest.mark.parametrize("listed", [[None, 5, {}, {"name": ""}, {"name": 5}], {}, "x", 5, {"properties": []}, None])
def test_inputs_that_cannot_be_read_are_none(listed: object) -> None:
    assert inputs(inputs=listed) == ()


@pytest.mark.parametrize(
    ("written", "required"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("yes", True),
        ("no", False),
        (1, True),
        (0, False),
        ("1", True),
        ("0", False),
        ("required", True),
        ("optional", False),
        (None, False),
        ("perhaps", False),
        (7, False),
        ([], False),
    ],
)
@pytest.mark.parametrize("field", ["required", "is_required"])
def test_whether_an_input_is_required_is_written_in_several_ways(
    field: str, written: object, *, required: bool
) -> None:
    [one] = inputs(inputs=[{"name": "a", field: written}])
    assert one.required is required
    [one] = inputs(inputs={"a": {"type": "string", field: written}})
    assert one.required is required


@pytest.mark.parametrize(("optional", "required"), [(True, False), (False, True), ("true", False), ("no", True)])
def test_an_input_that_is_not_optional_is_required(optional: object, *, required: bool) -> None:
    assert inputs(inputs=[{"name": "a", "optional": optional}])[0].required is required
    assert inputs(inputs=[{"name": "a", "optional": optional, "required": True}])[0].required is True


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (
            {"seed": {"type": "integer"}, "prompt": {"type": "string", "required": "true", "description": "What."}},
            (Input("prompt", "string", required=True, description="What."), Input("seed", "integer", required=False)),
        ),
        ({"prompt": "string"}, (Input("prompt", "string", required=False),)),
        ({"images": "string[]"}, (Input("images", "string[]", required=False),)),
        (
            {"prompt": "required", "seed": "Optional"},
            (Input("prompt", "string", required=True), Input("seed", "string", required=False)),
        ),
        ({"prompt": "What to paint"}, (Input("prompt", "string", required=False, description="What to paint"),)),
        ({"size": {"enum": "1K,2K"}}, (Input("size", "string", required=False, values=("1K", "2K")),)),
        ({"type": {"enum": ["a"]}}, (Input("type", "string", required=False, values=("a",)),)),
        ({"odd": None, "other": 5, "": {}}, ()),
        ({"type": "object"}, ()),
        ({"type": "object", "properties": {}}, ()),
        ({"$ref": "#/definitions/x"}, ()),
        (["prompt", "seed"], (Input("prompt", "string", required=False), Input("seed", "string", required=False))),
        ([{"key": "prompt", "type": "text"}], (Input("prompt", "text", required=False),)),
        ('[{"name": "prompt", "required": true}]', (Input("prompt", "string", required=True),)),
        ('{"properties": {"a": {}}, "required": ["a"]}', (Input("a", "string", required=True),)),
        ("prompt", ()),
        ("{", ()),
    ],
    ids=str,
)
def test_inputs_are_a_list_an_object_or_either_as_text(listed: object, found: tuple[Input, ...]) -> None:
    assert inputs(inputs=listed) == found


@pytest.mark.parametrize(
    ("required", "names"),
    [
        (["prompt"], ["prompt"]),
        ("prompt", ["prompt"]),
        ("prompt, size", ["prompt", "size"]),
        ('["size"]', ["size"]),
        ("p", ["p"]),
        ("", []),
        (True, []),
        ({"prompt": True}, []),
        ([None, 5, ["prompt"], {"a": 1}, "size"], ["size"]),
    ],
    ids=str,
)
def test_required_names_are_a_list_or_a_text(required: object, names: list[str]) -> None:
    schema = {"properties": {"p": {}, "prompt": {}, "size": {}, "r": {}}, "required": required}
    assert [one.name for one in inputs(input_schema=schema) if one.required] == names


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"enum": ["1K", "2K"]}, ("1K", "2K")),
        ({"enum": "1K,2K"}, ("1K", "2K")),
        ({"options": "1K | 2K ; 4K"}, ("1K", "2K", "4K")),
        ({"enum": "landscape"}, ("landscape",)),
        ({"enum": '["a", "b"]'}, ("a", "b")),
        ({"options": "any size that the model can make"}, ()),
        ({"options": [{"value": "s", "label": "Small"}, {"value": "l", "label": "Large"}]}, ("s", "l")),
        ({"options": [{"id": 1, "name": "Small"}, {"id": 2, "name": "Large"}]}, (1, 2)),
        ({"enum": [{"const": "a", "title": "A"}]}, ("a",)),
        ({"options": [{"name": "small"}, {"key": "large"}]}, ("small", "large")),
        ({"options": [{"code": "s", "name": "Small"}, {"code": "l", "name": "Large"}]}, ("s", "l")),
        ({"options": [{"label": "Small"}, {"value": None}, {"value": {"a": 1}}, {}]}, ()),
        ({"options": {"choices": ["a", "b"]}}, ("a", "b")),
        ({"options": {"placeholder": "Type here", "rows": 3}}, ()),
        ({"choices": ["a"]}, ("a",)),
        ({"enum": [], "options": ["a"]}, ("a",)),
        ({"enum": [None], "options": ["a"]}, ("a",)),
        ({"enum": [0, 1, 2]}, (0, 1, 2)),
        ({"enum": [False, True]}, (False, True)),
        ({"enum": [1, True, 1.0, "1", 1, "1"]}, (1, True, 1.0, "1")),
        ({"const": "only"}, ("only",)),
        ({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}, ("a", "b")),
        ({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}, ("a", "b")),
        ({"anyOf": [{"enum": ["a"]}, {"anyOf": [{"const": "b"}, {"enum": ["c", "a"]}]}]}, ("a", "b", "c")),
        ({"anyOf": [{"enum": ["a"]}, {"type": "string"}]}, ()),
        ({"anyOf": [{"enum": ["a"]}, {"$ref": "#/x"}]}, ()),
        ({"anyOf": [{"enum": ["a"]}, None]}, ()),
        ({"allOf": [{"title": "Size"}, {"enum": ["a", "b"]}]}, ("a", "b")),
        ({"allOf": [{"$ref": "#/x"}]}, ()),
        ({"enum": {"a": 1}}, ()),
        ({"enum": 5}, ()),
        ({"enum": True}, ()),
        ({"oneOf": "a,b"}, ()),
        ({"type": "array", "items": {"enum": ["a"]}}, ()),
    ],
    ids=str,
)
def test_allowed_values_are_read_in_each_of_their_shapes(spec: dict[str, object], values: tuple[object, ...]) -> None:
    for found in (inputs(inputs=[{"name": "x", **spec}]), inputs(input_schema={"properties": {"x": spec}})):
        assert [(type(one), one) for one in found[0].values] == [(type(one), one) for one in values]
        orjson.dumps(shown(model(inputs=[{"name": "x", **spec}])))


def test_choices_inside_each_other_for_ever_are_none() -> None:
    spec: dict[str, object] = {"enum": ["a"]}
    for _ in range(100):
        spec = {"anyOf": [spec, spec]} if spec.get("enum") else {"anyOf": [spec]}
    assert inputs(inputs=[{"name": "x", **spec}])[0].values == ()


@pytest.mark.parametrize(
    ("spec", "type_"),
    [
        ({"enum": [1, 2]}, "integer"),
        ({"enum": [0.5, 1.5]}, "number"),
        ({"enum": [True]}, "boolean"),
        ({"enum": [1, "auto"]}, "string"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "integer"),
        ({"type": ["null", "array"]}, "array"),
        ({"type": "  "}, "string"),
        ({"type": {"name": "x"}, "variable_type_code": "image"}, "image"),
    ],
    ids=str,
)
def test_the_type_of_an_input_is_found_or_follows_from_its_values(spec: dict[str, object], type_: str) -> None:
    assert inputs(inputs=[{"name": "x", **spec}])[0].type == type_


def test_an_input_listed_twice_is_one_input() -> None:
    assert len(inputs(inputs=[{"name": "a"}, {"name": "a", "required": True}])) == 1


# The sandbox's two documents, which imitate the real ones


def test_both_documents_of_the_upstream_read_the_same() -> None:
    site, api = parse_catalog(sandbox_catalog.document()), parse_catalog(sandbox_catalog.public_document())
    assert site.models == api.models
    assert site.skipped == api.skipped == 0
    assert len(site.solutions) == 19


def test_solutions_come_first_then_catalog_order() -> None:
    snapshot = read(
        ENTRY,
        ENTRY | {"provider_slug": "runflow", "model_slug": "b"},
        ENTRY | {"model_slug": "a"},
        ENTRY | {"provider_slug": "runflow", "model_slug": "a"},
    )
    assert [one.name for one in snapshot.models] == ["runflow/b", "runflow/a", "google/nano-banana-2", "google/a"]
    assert [one.name for one in snapshot.solutions] == ["runflow/b", "runflow/a"]


def test_what_is_derived_of_a_snapshot_is_made_once() -> None:
    snapshot = read(ENTRY)
    made: list[object] = []

    def build(source: Snapshot) -> list[object]:
        made.append(source)
        return made

    assert snapshot.cached(build) is snapshot.cached(build)
    assert made == [snapshot]
    read(ENTRY).cached(build)
    assert len(made) == 2


# Filters


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return parse_catalog(sandbox_catalog.document())


def names(snapshot: Snapshot, **filters: str | None) -> list[str]:
    return [snapshot.models[position].name for position in select(snapshot, **filters)]


def test_without_filters_everything_is_listed(snapshot: Snapshot) -> None:
    assert select(snapshot) == list(range(len(snapshot.models)))


def test_the_category_solution_is_the_provider_runflow(snapshot: Snapshot) -> None:
    found = names(snapshot, category="solution")
    assert found == [one.name for one in snapshot.solutions]
    assert names(snapshot, category="solution", provider="google") == []


@pytest.mark.parametrize("category", [one for one in CATEGORIES if one != "solution"])
def test_a_category_keeps_its_own(snapshot: Snapshot, category: str) -> None:
    found = select(snapshot, category=category)
    assert {snapshot.models[position].category for position in found} <= {category}
    assert len(found) == sum(one.category == category for one in snapshot.models)


@pytest.mark.parametrize("provider", ["google", "Google", " GOOGLE "])
def test_a_provider_is_taken_in_any_case(snapshot: Snapshot, provider: str) -> None:
    found = names(snapshot, provider=provider)
    assert found
    assert all(name.startswith("google/") for name in found)


def test_a_provider_is_no_substring(snapshot: Snapshot) -> None:
    assert names(snapshot, provider="goog") == []


def test_exact_hits_come_first_then_prefixes_then_the_rest() -> None:
    def one(slug: str, name: str, provider: str = "p") -> dict[str, str]:
        return ENTRY | {"provider_slug": provider, "model_slug": slug, "model_name": name}

    snapshot = read(
        one("x-flux", "Some Flux"),
        one("flux-2", "Flux Two"),
        one("flux", "The first"),
        one("y", "FLUX"),
        one("my-flux", "Mine", "runflow"),
        one("flux-it", "Yours", "runflow"),
        one("none", "Nothing"),
    )
    assert names(snapshot, query="Flux") == [
        "p/flux",
        "p/y",
        "runflow/flux-it",
        "p/flux-2",
        "runflow/my-flux",
        "p/x-flux",
    ]


@pytest.mark.parametrize("query", ["", "  ", None])
def test_an_empty_query_is_no_query(snapshot: Snapshot, query: str | None) -> None:
    assert len(select(snapshot, query=query)) == len(snapshot.models)


queries = st.sampled_from(
    ["a", "banana", "Background Removal", "background-removal", "FLUX", "-", "zzz", " "]
) | st.text(max_size=4)


@law
@given(
    st.none() | st.sampled_from(CATEGORIES),
    st.none() | st.sampled_from(["runflow", "google", "nobody"]),
    st.none() | queries,
)
def test_a_selection_is_the_fitting_entries_in_the_documented_order(
    category: str | None, provider: str | None, query: str | None
) -> None:
    snapshot = parse_catalog(sandbox_catalog.document())
    found = select(snapshot, category=category, provider=provider, query=query)
    assert len(found) == len(set(found))
    needle = (query or "").strip().casefold()

    def texts(position: int) -> tuple[str, ...]:
        one = snapshot.models[position]
        names = (one.model_name, one.model_slug, f"{one.provider_slug}/{one.model_slug}")
        return tuple(name.casefold() for name in names)

    def split(text: str) -> list[str]:
        return "".join(letter if letter.isalnum() or letter == "." else " " for letter in text).split()

    def has_words(position: int) -> bool:
        words = " ".join(word for text in texts(position) for word in split(text))
        return bool(split(needle)) and all(word in words for word in split(needle))

    def fits(position: int) -> bool:
        one = snapshot.models[position]
        in_category = category is None or (one.is_solution if category == "solution" else one.category == category)
        return (
            in_category
            and (provider is None or one.provider_slug == provider)
            and (any(needle in text for text in texts(position)) or has_words(position))
        )

    assert sorted(found) == [position for position in range(len(snapshot.models)) if fits(position)]

    def place(position: int) -> tuple[bool, bool, bool, int]:
        words = " ".join(split(needle))
        exact = needle in texts(position) or (words and words in [" ".join(split(text)) for text in texts(position)])
        prefix = any(text.startswith(needle) for text in texts(position)) or (
            words and any(" ".join(split(text)).startswith(words) for text in texts(position))
        )
        return not (needle and exact), not (needle and prefix), not snapshot.models[position].is_solution, position

    assert found == sorted(found, key=place)


NANO = (
    ENTRY | {"model_slug": "nano-banana-2/edit", "model_name": "Nano Banana 2 Edit"},
    ENTRY | {"provider_slug": "other", "model_slug": "banana", "model_name": "Banana Nano"},
    ENTRY,
    ENTRY | {"provider_slug": "runflow", "model_slug": "banana-remover", "model_name": "Remove a banana"},
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("google/nano-banana-2", ["google/nano-banana-2", "google/nano-banana-2/edit"]),
        ("Google/Nano-Banana-2", ["google/nano-banana-2", "google/nano-banana-2/edit"]),
        ("/v1/models/google/nano-banana-2/runs", ["google/nano-banana-2", "google/nano-banana-2/edit"]),
        ("https://api.runflow.io/v1/models/google/nano-banana-2/edit/runs", ["google/nano-banana-2/edit"]),
        ("nano_banana_2", ["google/nano-banana-2", "google/nano-banana-2/edit"]),
        ("google nano banana 2", ["google/nano-banana-2", "google/nano-banana-2/edit"]),
        ("banana nano", ["other/banana", "google/nano-banana-2/edit", "google/nano-banana-2"]),
        ("edit google", ["google/nano-banana-2/edit"]),
        ("2  banana\tGOOGLE", ["google/nano-banana-2/edit", "google/nano-banana-2"]),
        ("google/", ["google/nano-banana-2/edit", "google/nano-banana-2"]),
        ("banana", ["other/banana", "runflow/banana-remover", "google/nano-banana-2/edit", "google/nano-banana-2"]),
        ("runflow/banana", ["runflow/banana-remover"]),
        ("banana, nano", ["other/banana", "google/nano-banana-2/edit", "google/nano-banana-2"]),
        ('"google/nano-banana-2"', ["google/nano-banana-2", "google/nano-banana-2/edit"]),
        ("google: nano-banana-2", ["google/nano-banana-2", "google/nano-banana-2/edit"]),
        ("edit+google", ["google/nano-banana-2/edit"]),
        ("nano zebra", []),
        ("nano-banana-3", []),
    ],
)
def test_a_query_is_a_full_name_a_part_of_one_or_words_in_any_order(query: str, found: list[str]) -> None:
    assert names(read(*NANO), query=query) == found


def test_a_query_of_great_length_is_no_work() -> None:
    assert names(read(*NANO), query="a " * 120_000) == [one.name for one in read(*NANO).models]
    assert names(read(*NANO), query="x" * 250_000) == []


@law
@given(st.permutations(range(6)))
def test_the_order_follows_the_catalog(order: list[int]) -> None:
    snapshot = read(*(ENTRY | {"model_slug": f"m{number}"} for number in order))
    assert [one.model_slug for one in snapshot.models] == [f"m{number}" for number in order]
    assert attrs.evolve(snapshot.models[0]) == snapshot.models[0]
