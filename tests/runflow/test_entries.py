"""The catalog read from each of its shapes, entry by entry."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.identifiers import model_problem
from runflow_mcp.methods.tools.list_models import listing as shown
from runflow_mcp.runflow.catalog.entries import (
    MAX_CATALOG_VALUES,
    MAX_LENIENT,
    CatalogUnreadable,
    Model,
    Snapshot,
    parse_catalog,
)
from runflow_mcp.sandbox import catalog as sandbox_catalog
from tests.protocol.property_settings import json_values, law
from tests.runflow.example_catalog import ENTRY, model, read

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
def test_a_catalog_is_a_list_or_an_object_that_holds_a_list(wrap: Any) -> None:
    snapshot = parse_catalog(orjson.dumps(wrap([ENTRY])))
    assert [entry.name for entry in snapshot.models] == ["google/nano-banana-2"]
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
def test_a_document_that_is_not_a_catalog_is_rejected_as_a_whole(body: bytes) -> None:
    with pytest.raises(CatalogUnreadable):
        parse_catalog(body)


def test_an_empty_catalog_is_a_catalog() -> None:
    assert read().models == ()


@law
@given(st.lists(json_values | st.dictionaries(st.sampled_from([*ENTRY, "runs_endpoint"]), json_values), max_size=6))
def test_reading_entries_never_fails(entries: list[object]) -> None:
    snapshot = read(*entries, ENTRY)
    assert len(snapshot.models) + snapshot.skipped <= len(entries) + 1
    for entry in snapshot.models:
        assert model_problem(entry.name) is None
        assert entry.runs_endpoint == f"/v1/models/{entry.name}/runs"
        orjson.dumps(shown(entry))


@law
@given(
    st.fixed_dictionaries(dict.fromkeys(["inputs", "input_schema", "pricing", "description", "status"], json_values))
)
def test_an_entry_with_unreadable_details_is_kept(fields: dict[str, object]) -> None:
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
def test_an_unreadable_entry_is_skipped_and_counted(poison: object) -> None:
    snapshot = read(ENTRY, poison, ENTRY | {"model_slug": "other"})
    assert [entry.name for entry in snapshot.models] == ["google/nano-banana-2", "google/other"]
    assert snapshot.skipped == 1


@pytest.mark.parametrize("field", ["pricing", "price", "pricing_note"])
def test_an_entry_with_a_deeply_nested_price_can_be_written(field: str) -> None:
    """What was read must also be writable, or a single entry would make the whole list fail."""
    deep = b"[" * 600 + b"]" * 600
    body = orjson.dumps([ENTRY, ENTRY | {"model_slug": "deep", field: orjson.Fragment(deep)}])
    snapshot = parse_catalog(body)
    assert "google/nano-banana-2" in [entry.name for entry in snapshot.models]
    for entry in snapshot.models:
        orjson.dumps({"structuredContent": {"models": [shown(entry)]}})


# One entry


def test_the_documented_fields_of_an_entry_are_read() -> None:
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
def test_a_model_is_named_by_its_slugs_in_several_spellings(entry: dict[str, object], name: str) -> None:
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
def test_a_well_formed_endpoint_decides_the_name_of_a_model(endpoint: object, name: str) -> None:
    found = model(runs_endpoint=endpoint)
    assert (found.name, found.runs_endpoint) == (name, f"/v1/models/{name}/runs")
    assert (found.provider_slug, found.model_slug) == ("google", "nano-banana-2"), "what people look for stays"
    assert shown(found)["model"] == name


@pytest.mark.parametrize("slugs", [{"model_slug": "not a slug"}, {"provider_slug": ".."}, {"model_slug": None}])
def test_an_entry_with_an_endpoint_needs_no_well_formed_slugs(slugs: dict[str, object]) -> None:
    found = model(**slugs, runs_endpoint="/v1/models/a/b/c/runs")
    assert (found.name, found.provider_slug, found.model_slug) == ("a/b/c", "a", "b/c")


def test_the_second_entry_for_the_same_model_is_skipped() -> None:
    snapshot = read(ENTRY, ENTRY | {"model_slug": "alias", "runs_endpoint": "/v1/models/google/nano-banana-2/runs"})
    assert [entry.name for entry in snapshot.models] == ["google/nano-banana-2"]
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
    assert [entry.model_slug for entry in snapshot.models] == ["other"]
    assert snapshot.skipped == 0


@pytest.mark.parametrize("field", ["pricing", "pricing_note", "price"])
@pytest.mark.parametrize("price", ["$0.04/image", {"usd": 0.04}, 0.04])
def test_a_price_has_one_of_several_names(field: str, price: object) -> None:
    assert model(**{field: price}).pricing == price


@pytest.mark.parametrize("price", [0, 0.0, "0", "0.00", "free", {"usd": 0}, [{"unit": "image", "usd": "0"}], 12, -1])
def test_a_price_may_be_zero_and_of_any_shape(price: object) -> None:
    assert model(pricing=price).pricing == price


@pytest.mark.parametrize("price", [False, True, "", "  ", {}, [], None])
def test_an_empty_price_is_none_and_does_not_hide_a_later_one(price: object) -> None:
    assert model(pricing=price).pricing is None
    assert "pricing" not in shown(model(pricing=price))
    assert model(pricing=price, price=0).pricing == 0
    assert shown(model(pricing=price, price=0))["pricing"] == 0


def test_an_entry_without_a_name_is_named_by_its_slug() -> None:
    assert model(model_name=None).model_name == "nano-banana-2"
    assert model(model_name=None, name="NB").model_name == "NB"


def test_a_description_is_read_up_to_1000_characters() -> None:
    assert len(model(description="x" * 5000).description or "") <= 1000


# The sandbox's two documents, which imitate the real ones


def test_both_catalog_shapes_of_the_sandbox_read_the_same() -> None:
    site, api = (
        parse_catalog(sandbox_catalog.catalog_document()),
        parse_catalog(sandbox_catalog.public_models_document()),
    )
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
    assert [entry.name for entry in snapshot.models] == ["runflow/b", "runflow/a", "google/nano-banana-2", "google/a"]
    assert [entry.name for entry in snapshot.solutions] == ["runflow/b", "runflow/a"]


def test_a_value_derived_from_a_snapshot_is_built_once() -> None:
    snapshot = read(ENTRY)
    made: list[object] = []

    def build(source: Snapshot) -> list[object]:
        made.append(source)
        return made

    assert snapshot.cached(build) is snapshot.cached(build)
    assert made == [snapshot]
    read(ENTRY).cached(build)
    assert len(made) == 2


@pytest.mark.parametrize("item", [b"0", b"{}", b'{"a":"b"}'])
def test_a_catalog_of_too_many_values_is_refused(item: bytes) -> None:
    with pytest.raises(CatalogUnreadable, match="200,000 values"):
        parse_catalog(b'{"models":[' + b",".join([item] * (MAX_CATALOG_VALUES + 1)) + b"]}")


@pytest.mark.parametrize(("size", "readable"), [(MAX_LENIENT - 1000, True), (MAX_LENIENT, False)])
def test_a_catalog_that_is_not_quite_json_is_read_up_to_a_size(size: int, *, readable: bool) -> None:
    body = b'{"models":[{"provider_slug":"a","model_slug":"b","price":NaN,"description":"' + b"\xff" * size + b'"}]}'
    if readable:
        assert [model.name for model in parse_catalog(body).models] == ["a/b"]
    else:
        with pytest.raises(CatalogUnreadable, match="not JSON"):
            parse_catalog(body)
