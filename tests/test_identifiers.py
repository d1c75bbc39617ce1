"""Model names, client_refs and run ids: an accepted one stays inside its URL path or filter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from runflow_mcp.identifiers import client_ref_problem, model_problem, run_id_problem, strip_runs_endpoint
from runflow_mcp.runflow.api.paths import run_path, runs_path
from tests.protocol.property_settings import law

ORIGIN = "http://upstream"
#: Texts that are often nearly model names.
_pieces = st.lists(
    st.sampled_from(
        ["a", "B-1", "x_y", "2.0", ".", "..", "...", "/", "//", "?", "#", "%2e", "\\", " ", "\n", "é", ":"]
    ),
    max_size=8,
).map("".join)


@pytest.mark.parametrize(
    "model",
    [
        "google/nano-banana-2",
        "runflow/object-removal/prompt",
        "bytedance/seedance/2.0/fast/text-to-video",
        "a/b",
        "A_1/x.y-z",
        "x/...",
        "x/.hidden",
        "p/" + "s" * 254,
    ],
)
def test_provider_slash_slug_is_a_model_name(model: str) -> None:
    assert model_problem(model) is None


@pytest.mark.parametrize(
    "model",
    [
        "",
        "google",
        "/google/x",
        "google/x/",
        "google//x",
        "google/..",
        "google/../x",
        "./x",
        "google/x?y=1",
        "google/x#y",
        "google/%2e%2e",
        "google/x y",
        "google/x\n",
        "google\\x",
        "google/é",
        "google/x;y",
        "google/x:y",
        "google/x@y",
        "p/" + "s" * 255,
    ],
)
def test_any_other_model_name_is_refused_with_a_reason(model: str) -> None:
    problem = model_problem(model)
    assert problem is not None
    assert problem.startswith("must ")


@law
@given(_pieces | st.text(max_size=30))
def test_a_name_that_passes_stays_inside_its_path(model: str) -> None:
    if model_problem(model) is not None:
        return
    segments = model.split("/")
    assert len(segments) >= 2
    assert not {"", ".", ".."} & set(segments)
    assert not set("?#%\\ ") & set(model)
    path = f"/v1/models/{model}/runs"
    assert runs_path(model) == path
    for url in (URL(ORIGIN + path, encoded=True), URL(ORIGIN + path), URL(ORIGIN).join(URL(path))):
        assert (url.host, url.raw_path, url.query_string, url.fragment) == ("upstream", path, "", "")


@pytest.mark.parametrize(
    ("given_", "model"),
    [
        ("/v1/models/google/nano-banana-2/runs", "google/nano-banana-2"),
        ("/v1/models/runflow/object-removal/prompt/runs", "runflow/object-removal/prompt"),
        ("/v1/models/a/runs/runs", "a/runs"),
        ("google/nano-banana-2", "google/nano-banana-2"),
        ("/v1/models//runs", "/v1/models//runs"),
        ("/v1/models/../runs", ".."),
        ("v1/models/a/b/runs", "a/b"),
        ("/v1/models/a/b", "a/b"),
        ("/v1/models/a/b/runs/", "a/b"),
        ("https://api.runflow.io/v1/models/a/b/runs", "a/b"),
        ("HTTP://localhost:8090/v1/models/a/b/c/runs", "a/b/c"),
        ("https://api.runflow.io/v1/models/a/b/runs?x=1", "a/b/runs?x=1"),
        ("https://api.runflow.io/v2/models/a/b/runs", "https://api.runflow.io/v2/models/a/b/runs"),
        ("", ""),
    ],
)
def test_a_runs_endpoint_is_stripped_to_its_model(given_: str, model: str) -> None:
    assert strip_runs_endpoint(given_) == model


@law
@given(st.text(max_size=30))
def test_stripping_a_runs_endpoint_never_makes_a_bad_name_good(text: str) -> None:
    """What comes out is a part of what went in, and is judged like any other name."""
    assert strip_runs_endpoint(text) in text
    assert strip_runs_endpoint(f"/v1/models/{text}/runs") in (text, f"/v1/models/{text}/runs")


@pytest.mark.parametrize("client_ref", ["a", "A-Z_0.9:/@+=", "x" * 255, "mcp-" + "0" * 32])
def test_a_client_ref_of_allowed_characters_is_accepted(client_ref: str) -> None:
    assert client_ref_problem(client_ref) is None


@pytest.mark.parametrize("client_ref", ["", "x" * 256, "it's", 'a"b', "a b", "a\n", "a\\", "a,b", "(a)", "é", "a\x00"])
def test_any_other_client_ref_is_refused(client_ref: str) -> None:
    assert client_ref_problem(client_ref) is not None


@law
@given(st.text(max_size=40))
def test_a_client_ref_that_passes_cannot_end_its_filter(client_ref: str) -> None:
    if client_ref_problem(client_ref) is None:
        assert 1 <= len(client_ref) <= 255
        assert client_ref.isascii()
        assert not set("'\"\\ \t\r\n()") & set(client_ref)


@pytest.mark.parametrize("run_id", ["018f3c9e-8f3a-7c3e-9b1a-000000000001", "r", "run_1", "x" * 128, "a.b:c"])
def test_a_run_id_is_one_harmless_segment(run_id: str) -> None:
    assert run_id_problem(run_id) is None


@law
@given(_pieces | st.text(max_size=30))
def test_a_run_id_that_passes_stays_inside_its_path(run_id: str) -> None:
    if run_id_problem(run_id) is None:
        for url in (URL(ORIGIN + run_path(run_id), encoded=True), URL(ORIGIN + run_path(run_id))):
            assert (url.raw_path, url.query_string, url.fragment) == (f"/v1/runs/{run_id}", "", "")
            assert url.parts == ("/", "v1", "runs", run_id)
