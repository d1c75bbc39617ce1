"""The parser of the Authorization header, the messages of its rejections, and keys that cannot be printed."""

import hashlib
import traceback

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.credentials import Bearer, parse_authorization
from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.key_mistakes import KeyMistake
from tests.protocol.property_settings import law

KEY = "rf_live_1234567890abcdef"
PREFIXES = ("rf_live",)


def read(*values: str, prefixes: tuple[str, ...] = PREFIXES) -> str:
    return parse_authorization(values, prefixes).reveal()


def refused(*values: str, prefixes: tuple[str, ...] = PREFIXES) -> Rejection:
    with pytest.raises(Rejection) as caught:
        read(*values, prefixes=prefixes)
    return caught.value


def test_no_header_is_a_missing_authorization() -> None:
    rejection = refused()
    assert (rejection.code, rejection.status) == (RejectionCode.MISSING_AUTHORIZATION, 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_accepted_in_any_case(scheme: str) -> None:
    assert read(f"{scheme} {KEY}") == KEY


@pytest.mark.parametrize("value", [f"Bearer   {KEY}", f"Bearer\t{KEY}", f"Bearer {KEY}  "])
def test_white_space_around_the_key_is_ignored(value: str) -> None:
    assert read(value) == KEY


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        KEY,
        f"Basic {KEY}",
        f"Bearer{KEY}",
        f"Bearer {KEY} {KEY}",
        f"Bearer {KEY}, Bearer {KEY}",
        f"Bearer {KEY}\x00",
        f"Bearer rf_live_\x7f{KEY}",
        f"Bearer rf_live_\n{KEY}",
        f"Bearer {KEY}\n",
        f"Bearer rf_live_ключ{KEY}",
        f"Bearer rf_live_\udcff{KEY}",
        f"Xearer Bearer {KEY}",
        "Bearer rf_live",
        "Bearer rf_live_",
        "Bearer rf_livex_12345678",
        "Bearer rf_livex",
        "Bearer RF_LIVE_12345678",
        "Bearer rf_svc_1234567890",
        "Bearer rfk_1234567890",
        "Bearer ${RUNFLOW_API_KEY}",
        f'Bearer "{KEY}"',
        f"Bearer {KEY},",
        f"Bearer {KEY};",
        f"Bearer {KEY}'",
        f"Bearer {KEY}>",
        "Bearer rf_live_...",
        "Bearer rf_live_12345...cdef",
        "Bearer rf_live_********",
        "Bearer rf_live_${KEY}",
        "Bearer rf_live_{{key}}",
    ],
)
def test_any_other_header_is_malformed(value: str) -> None:
    rejection = refused(value)
    assert (rejection.code, rejection.status) == (RejectionCode.MALFORMED_AUTHORIZATION, 401)


@pytest.mark.parametrize("values", [(f"Bearer {KEY}", f"Bearer {KEY}"), (f"Bearer {KEY}", ""), ("", f"Bearer {KEY}")])
def test_two_headers_are_malformed_even_when_they_agree(values: tuple[str, ...]) -> None:
    assert refused(*values).code == RejectionCode.MALFORMED_AUTHORIZATION


@pytest.mark.parametrize("length", [9, 512])
def test_a_key_within_the_length_limits_is_accepted(length: int) -> None:
    key = "rf_live_".ljust(length, "x")
    assert read(f"Bearer {key}") == key


def test_a_key_of_eight_characters_is_accepted_and_one_of_seven_is_not() -> None:
    assert read("Bearer ab_45678", prefixes=("ab",)) == "ab_45678"
    assert refused("Bearer ab_4567", prefixes=("ab",)).code == RejectionCode.MALFORMED_AUTHORIZATION


def test_a_key_of_513_characters_is_refused() -> None:
    assert refused("Bearer " + "rf_live_".ljust(513, "x")).code == RejectionCode.MALFORMED_AUTHORIZATION


def test_every_configured_prefix_is_accepted() -> None:
    prefixes = ("rf_live", "rf_test")
    assert read("Bearer rf_test_12345678", prefixes=prefixes) == "rf_test_12345678"
    assert "rf_live_ or rf_test_" in refused("Bearer rf_svc_12345678", prefixes=prefixes).message


@pytest.mark.parametrize("values", [(), ("Bearer x",), ("Bearer rf_svc_1234567890",), ("Bearer a", "Bearer b")])
def test_a_rejection_says_what_to_send(values: tuple[str, ...]) -> None:
    assert (
        "Send your Runflow API key (it starts with rf_live_) as a bearer token: header Authorization: Bearer <key>"
        in refused(*values).message
    )


HINT = "Send your Runflow API key (it starts with rf_live_) as a bearer token: header Authorization: Bearer <key>"


@pytest.mark.parametrize(
    ("mistake", "values"),
    [
        (KeyMistake.EMPTY_HEADER, ["", " ", "\t"]),
        (KeyMistake.EMPTY_KEY, ["Bearer", "bearer ", "Bearer  \t"]),
        (
            KeyMistake.VARIABLE,
            [
                "Bearer ${RUNFLOW_API_KEY}",
                "Bearer ${RUNFLOW_API_KEY:-}",
                "Bearer $RUNFLOW_API_KEY",
                "Bearer $(RUNFLOW_API_KEY)",
                "Bearer ${env:RUNFLOW_API_KEY}",
                "Bearer ${input:runflow-key}",
                "Bearer {env:RUNFLOW_API_KEY}",
                "Bearer $env:RUNFLOW_API_KEY",
                "Bearer {{RUNFLOW_API_KEY}}",
                "Bearer {{ $env.KEY }}",
                "Bearer {RUNFLOW_API_KEY}",
                "Bearer %RUNFLOW_API_KEY%",
                "Bearer process.env.RUNFLOW_API_KEY",
                "Bearer RUNFLOW_API_KEY",
                "Bearer rf_live_${REST}",
                "${RUNFLOW_API_KEY}",
                "${AUTHORIZATION_HEADER}",
                "Bearer undefined",
                "Bearer null",
                "Bearer None",
            ],
        ),
        (
            KeyMistake.QUOTED,
            [
                f'Bearer "{KEY}"',
                f"Bearer '{KEY}'",
                f"Bearer `{KEY}`",
                f'"Bearer {KEY}"',
                f'Bearer {KEY}"',
                f"Bearer “{KEY}”",
            ],
        ),
        (KeyMistake.BRACKETS, [f"Bearer <{KEY}>", "Bearer <key>", "Bearer <your key>", f"<{KEY}>", f"Bearer {KEY}>"]),
        (
            KeyMistake.SHORTENED,
            [
                "Bearer rf_live_…",
                "Bearer rf_live_...",
                "rf_live_…",
                "Bearer rf_live_12…",
                "Bearer rf_live_****",
                "Bearer •••",
            ],
        ),
        (KeyMistake.TWICE, [f"Bearer Bearer {KEY}", f"bearer BEARER {KEY}", "Bearer Bearer"]),
        (KeyMistake.NAME_REPEATED, [f"Authorization: Bearer {KEY}", f"authorization=Bearer {KEY}"]),
        (KeyMistake.BASIC, [f"Basic {KEY}", "basic cmZfbGl2ZV86", "Basic"]),
        (KeyMistake.OTHER_SCHEME, [f"Token {KEY}", f"ApiKey {KEY}", "Digest a=b, c=d"]),
        (KeyMistake.NO_SCHEME, [KEY, "rfk_1234567890", "x"]),
        (KeyMistake.NO_SPACE, [f"Bearer{KEY}", f"Bearer:{KEY}", f"Bearer: {KEY}", f"Bearer={KEY}"]),
        (KeyMistake.SERVICE_KEY, ["Bearer rf_svc_1234567890", "rf_svc_1234567890", "Bearer RF_SVC_1"]),
        (KeyMistake.WRONG_CASE, ["Bearer RF_LIVE_12345678", "Bearer Rf_live_12345678", "RF_LIVE_12345678"]),
        (KeyMistake.PREFIX_ALONE, ["Bearer rf_live_", "Bearer rf_live", "Bearer RF_LIVE_"]),
        (KeyMistake.COMMA, [f"Bearer {KEY},", f"Bearer {KEY};", f"Bearer {KEY}, Bearer {KEY}", f"Bearer {KEY} ,"]),
        (
            KeyMistake.INNER_SPACE,
            [f"Bearer {KEY} {KEY}", "Bearer rf_live_1234\n5678", f"Bearer my {KEY}x"[:7] + f"{KEY} x"],
        ),
        (KeyMistake.NOT_ASCII, ["Bearer rf_live_schlüssel", "Bearer rf_live_\udcff1", "Bearer rf_live_1234\u200b"]),
        (KeyMistake.CONTROL, [f"Bearer {KEY}\x00", "Bearer rf_live_\x7f1234"]),
        (KeyMistake.TOO_LONG, ["Bearer " + "rf_live_".ljust(513, "x")]),
        (KeyMistake.TOO_SHORT, ["Bearer sk-1"]),
        (KeyMistake.PLACEHOLDER, ["Bearer YOUR-RUNFLOW", "Bearer your_key_here", "Bearer api-key-here"]),
        (KeyMistake.OTHER_KEY, ["Bearer rf_livex_12345678", "Bearer rfk_1234567890", "Bearer sk-proj-12345678"]),
    ],
    ids=lambda case: case.name if isinstance(case, KeyMistake) else "",
)
def test_each_mistake_has_a_sentence_of_its_own(mistake: KeyMistake, values: list[str]) -> None:
    for value in values:
        assert refused(value).message == f"{mistake} {HINT}", value


@law
@given(st.lists(st.text(max_size=40), max_size=3))
def test_any_headers_yield_a_key_or_a_rejection(values: list[str]) -> None:
    try:
        bearer = parse_authorization(values, PREFIXES)
    except Rejection as caught:
        rejection = caught
    else:
        assert bearer.reveal().startswith("rf_live_")
        return
    assert rejection.status == 401
    # The message is one of these constants, so it cannot quote the header.
    assert rejection.message in {f"{mistake} {HINT}" for mistake in ("No API key came with this request.", *KeyMistake)}


@law
@given(st.text(max_size=40).map(lambda text: f"Bearer rf_live_{text}"))
def test_any_key_with_an_accepted_prefix_is_accepted_or_has_its_mistake_named(value: str) -> None:
    try:
        read(value)
    except Rejection as rejection:
        message = rejection.message
    else:
        return
    assert KeyMistake.OTHER_KEY not in message


# Keys that cannot be printed


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, "{0!r}".format, lambda one: str([one])])
def test_a_bearer_prints_as_its_fingerprint(show: object) -> None:
    assert callable(show)
    shown = show(Bearer(KEY))
    assert KEY not in shown
    assert hashlib.sha256(KEY.encode()).hexdigest()[:12] in shown


def test_tools_that_print_attrs_classes_field_by_field_skip_the_key() -> None:
    """Rich tracebacks and error reporters do; they heed the field's own repr, not the class's."""
    hidden = {field.name for field in attrs.fields(Bearer) if field.repr is False}
    assert {"_key", "digest"} <= hidden


def test_the_fingerprint_is_the_first_twelve_hex_digits_of_the_sha256() -> None:
    bearer = Bearer(KEY)
    assert bearer.digest == hashlib.sha256(KEY.encode()).hexdigest()
    assert bearer.fingerprint == bearer.digest[:12]


def test_a_rejected_key_is_not_repeated() -> None:
    secret = "rf_svc_verysecret"
    rejection = refused(f"Bearer {secret}")
    shown = "".join(traceback.format_exception(rejection)) + str(rejection.envelope("r")) + repr(rejection)
    assert secret not in shown


def test_every_copy_of_a_key_in_a_text_is_masked() -> None:
    bearer = Bearer(KEY)
    masked = bearer.mask(f"{KEY} is bad; Bearer {KEY}!")
    assert KEY not in masked
    assert masked.count(bearer.fingerprint) == 2
    assert bearer.mask("nothing here") == "nothing here"


def test_a_key_is_found_in_a_json_text() -> None:
    bearer = Bearer(KEY)
    assert bearer.appears_in(f'{{"message":"{KEY}"}}'.encode())
    assert not bearer.appears_in(b'{"message":"rf_live_"}')


def test_every_copy_of_a_key_in_a_json_text_is_masked() -> None:
    bearer = Bearer('rf_live_"quoted"\\')
    text = orjson.dumps({bearer.reveal(): [bearer.reveal()]})
    assert bearer.appears_in(text)
    shown = f"[key {bearer.fingerprint}]"
    assert orjson.loads(bearer.mask_json(text)) == {shown: [shown]}


def test_equal_keys_are_equal_bearers() -> None:
    assert Bearer(KEY) == Bearer(KEY)
    assert Bearer(KEY) != Bearer(KEY + "x")
    assert len({Bearer(KEY), Bearer(KEY)}) == 1
