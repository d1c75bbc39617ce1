"""Random failures of an upstream: in a dispatch, a look-up or a poll, at any moment of it."""

from hypothesis import strategies as st

from tests.scripted_sandbox import Action, Delay, Hang, Reset, Respond, Truncate

PAGE = b"<html><h1>Bad gateway</h1></html>"
ENVELOPE = b'{"code":"SOMETHING","message":"x","errors":null}'

created = st.booleans()
late = st.sampled_from([0.0, 0.0, 0.0, 0.3, 5.0, 9.5])
retry_after = st.sampled_from(
    [{}, {}, {"Retry-After": "1"}, {"Retry-After": "20"}, {"Retry-After": "3600"}, {"Retry-After": "soon"}]
)
bodies = st.sampled_from([b"", PAGE, ENVELOPE, b"{", b"\xff\xfe\x00", b"[]"])
#: Bodies that are not a run, under a status of success.
no_runs = st.sampled_from(
    [
        b"",
        PAGE,
        b"{}",
        b"[]",
        b"null",
        b"7",
        b'"run"',
        b'{"id":null}',
        b'{"id":"../x"}',
        b'{"status_code":"queued"}',
        b"{",
    ]
)


def answers(
    *statuses: int, effect: st.SearchStrategy[bool], content: st.SearchStrategy[bytes]
) -> st.SearchStrategy[Action]:
    return st.builds(Respond, st.sampled_from(statuses), content, retry_after, created=effect, after=late)


lost: st.SearchStrategy[Action] = st.one_of(
    st.builds(Reset, created),
    st.builds(Truncate, created),
    st.builds(Hang, st.sampled_from([1.0, 8.0, 30.0, 100.0]), created),
    answers(500, 502, 504, 408, 599, effect=created, content=bodies),
    answers(200, 201, 202, 204, effect=created, content=no_runs),
)
busy = answers(429, 503, effect=created, content=bodies)
refusals = answers(301, 400, 401, 402, 403, 404, 409, 413, 422, effect=created, content=bodies)
#: The answer is late, but the run has been created.
slow: st.SearchStrategy[Action] = st.builds(Delay, st.sampled_from([0.5, 4.0, 9.0, 12.0, 50.0]), st.just(True))  # noqa: FBT003

#: Failures of a dispatch where an upstream has no idempotency. One is left out that no client can see: a run that is
#: created after the look-up found none (a ``Delay`` that does not create it at once).
for_create_without_idempotency = st.one_of(lost, lost, busy, refusals, slow)
for_create = st.one_of(
    for_create_without_idempotency,
    st.builds(Delay, st.sampled_from([0.5, 4.0, 9.0, 12.0, 50.0, 100.0])),
)
for_reading: st.SearchStrategy[Action] = st.one_of(
    st.builds(Reset),
    st.builds(Truncate),
    st.builds(Hang, st.sampled_from([1.0, 8.0, 30.0])),
    st.builds(Delay, st.sampled_from([0.5, 4.0, 9.0, 12.0])),
    answers(429, 500, 502, 503, 504, 408, effect=st.just(False), content=bodies),  # noqa: FBT003
    answers(200, 201, 204, effect=st.just(False), content=no_runs),  # noqa: FBT003
)
for_polls = st.one_of(for_reading, for_reading, answers(401, 403, 404, effect=st.just(False), content=bodies))  # noqa: FBT003
#: Preparing and confirming an upload may take effect before the answer is lost, and may be refused.
for_uploads = st.one_of(lost, busy, refusals, slow, st.builds(Delay, st.sampled_from([0.5, 4.0, 12.0])))
#: A look-up can be refused as well, or wrongly find no runs.
for_look_ups = st.one_of(
    for_reading,
    answers(400, 401, 403, 404, effect=st.just(False), content=bodies),  # noqa: FBT003
    st.just(Respond(200, b'{"items":[]}')),
)
