"""The settings of the property tests: no time limit per example, and the same examples in every run of the CI."""

import os

from hypothesis import settings
from hypothesis import strategies as st

#: ``make quick`` sets fewer, ``make fuzz`` many.
EXAMPLES = int(os.environ.get("LAW_EXAMPLES", "30"))

law = settings(max_examples=EXAMPLES, deadline=None, derandomize="CI" in os.environ)

#: Any JSON value, as a parser returns it.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
