"""The filters of ``list_models`` and the order of what they select."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.catalog.entries import CATEGORIES, Snapshot, parse_catalog
from runflow_mcp.runflow.catalog.search import select
from runflow_mcp.sandbox import catalog as sandbox_catalog
from tests.protocol.property_settings import law
from tests.runflow.example_catalog import ENTRY, read


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return parse_catalog(sandbox_catalog.catalog_document())


def names(snapshot: Snapshot, **filters: str | None) -> list[str]:
    return [snapshot.models[position].name for position in select(snapshot, **filters)]


def test_without_filters_everything_is_listed(snapshot: Snapshot) -> None:
    assert list(select(snapshot)) == list(range(len(snapshot.models)))


def test_the_category_solution_is_the_provider_runflow(snapshot: Snapshot) -> None:
    found = names(snapshot, category="solution")
    assert found == [entry.name for entry in snapshot.solutions]
    assert names(snapshot, category="solution", provider="google") == []


@pytest.mark.parametrize("category", [category for category in CATEGORIES if category != "solution"])
def test_a_category_selects_its_models(snapshot: Snapshot, category: str) -> None:
    found = select(snapshot, category=category)
    assert {snapshot.models[position].category for position in found} <= {category}
    assert len(found) == sum(entry.category == category for entry in snapshot.models)


@pytest.mark.parametrize("provider", ["google", "Google", " GOOGLE "])
def test_a_provider_is_matched_in_any_case(snapshot: Snapshot, provider: str) -> None:
    found = names(snapshot, provider=provider)
    assert found
    assert all(name.startswith("google/") for name in found)


def test_a_provider_is_not_matched_by_a_part_of_its_name(snapshot: Snapshot) -> None:
    assert names(snapshot, provider="goog") == []


def test_exact_hits_come_first_then_prefixes_then_the_rest() -> None:
    def named(slug: str, name: str, provider: str = "p") -> dict[str, str]:
        return ENTRY | {"provider_slug": provider, "model_slug": slug, "model_name": name}

    snapshot = read(
        named("x-flux", "Some Flux"),
        named("flux-2", "Flux Two"),
        named("flux", "The first"),
        named("y", "FLUX"),
        named("my-flux", "Mine", "runflow"),
        named("flux-it", "Yours", "runflow"),
        named("none", "Nothing"),
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
def test_an_empty_query_selects_everything(snapshot: Snapshot, query: str | None) -> None:
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
def test_a_selection_is_the_matching_entries_in_the_documented_order(
    category: str | None, provider: str | None, query: str | None
) -> None:
    snapshot = parse_catalog(sandbox_catalog.catalog_document())
    found = select(snapshot, category=category, provider=provider, query=query)
    assert len(found) == len(set(found))
    needle = (query or "").strip().casefold()

    def texts(position: int) -> tuple[str, ...]:
        entry = snapshot.models[position]
        names = (entry.model_name, entry.model_slug, f"{entry.provider_slug}/{entry.model_slug}")
        return tuple(name.casefold() for name in names)

    def split(text: str) -> list[str]:
        return "".join(letter if letter.isalnum() or letter == "." else " " for letter in text).split()

    def has_words(position: int) -> bool:
        words = " ".join(word for text in texts(position) for word in split(text))
        return bool(split(needle)) and all(word in words for word in split(needle))

    def fits(position: int) -> bool:
        entry = snapshot.models[position]
        in_category = category is None or (entry.is_solution if category == "solution" else entry.category == category)
        return (
            in_category
            and (provider is None or entry.provider_slug == provider)
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

    assert list(found) == sorted(found, key=place)


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
def test_a_query_matches_a_full_name_a_part_of_a_name_or_words_in_any_order(query: str, found: list[str]) -> None:
    assert names(read(*NANO), query=query) == found


def test_a_very_long_query_is_cheap() -> None:
    assert names(read(*NANO), query="a " * 120_000) == [entry.name for entry in read(*NANO).models]
    assert names(read(*NANO), query="x" * 250_000) == []


@law
@given(st.permutations(range(6)))
def test_hits_of_the_same_rank_keep_the_order_of_the_catalog(order: list[int]) -> None:
    snapshot = read(*(ENTRY | {"model_slug": f"m{number}"} for number in order))
    assert [entry.model_slug for entry in snapshot.models] == [f"m{number}" for number in order]
    assert attrs.evolve(snapshot.models[0]) == snapshot.models[0]


def test_a_query_may_repeat_a_word_ten_thousand_times() -> None:
    assert list(select(read(ENTRY), query="banana nano " * 10_000)) == [0]
    assert list(select(read(ENTRY), query="banana nano " * 10_000 + "lighthouse")) == []
