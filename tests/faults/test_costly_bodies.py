"""A search for bodies that cost much more than a valid one of their size."""

from fixtures.contracts import CONTRACT, each_operation
from fixtures.cost import MAX_MEMORY, MAX_TIMES, MiB, cost_of, valid_body
from fixtures.effort import effort
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

SEARCHES = effort(25, 5_000)
SIZE = effort(MiB, 8 * MiB)


def _nested(parts):
    opening, depth, inner = parts
    return opening * depth + inner + {b"[": b"]"}.get(opening, b"}") * depth


FIELDS = sorted({name for schema in CONTRACT.components["schemas"].values() for name in schema.get("properties", ())})
NUMBERS = [b"1", b"-0", b"1e60", b"1e999999", b"0.01", b"0." + b"1" * 60, b"9" * 300, b"9" * 4_000, b"null", b"true"]
TEXTS = [b"", b"N1", b"x" * 300, b"\\ud800", b"\\u0041", "\U0001f600".encode(), b"\xff", b"2026-01-01T00:00:00Z"]
BROKEN = b'nul [ { " , \\'.split()
ATOMS = st.sampled_from([*NUMBERS, *(b'"' + text + b'"' for text in TEXTS), *BROKEN])
NAMES = st.sampled_from([f'"{name}"'.encode() for name in FIELDS] + [b'"a"', b'"a"', b'"' + b"x" * 300 + b'"'])
PAIRS = st.tuples(NAMES, ATOMS).map(b":".join)
FRAGMENTS = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: b"[" + b",".join(items) + b"]")
        | st.lists(PAIRS | st.tuples(NAMES, inner).map(b":".join), max_size=9).map(lambda m: b"{" + b",".join(m) + b"}")
        | st.tuples(st.sampled_from([b"[", b'{"a":']), st.integers(2, 1_200), inner).map(_nested)
    ),
    max_leaves=12,
)
HEADS = st.sampled_from([(b"[", b"]"), (b'{"notice_nos":[', b"]}"), (b"", b""), (b"[[", b"]]"), (b"[", b"")])
SEPARATORS = st.sampled_from([b",", b",", b",", b"", b" "])
COUNTS = st.sampled_from([1, 100, 10_000, 20_000, SIZE])


RECIPES = st.tuples(HEADS, FRAGMENTS, SEPARATORS, COUNTS)
"""A fragment, how often it stands in the body and what separates it, and the outer shape of the body."""


def body_of(recipe):
    (head, tail), fragment, separator, count = recipe
    room = (SIZE - len(head) - len(tail)) // (len(fragment) + len(separator))
    return head + separator.join([fragment] * min(count, room or 1)) + tail


@each_operation
def test_no_generated_body_costs_much_more_than_a_valid_one_of_its_size(operation):
    valid = valid_body(operation, SIZE)
    normal = min(cost_of(operation.body.parse, valid).seconds for _ in range(3)) / len(valid)

    @settings(max_examples=SEARCHES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(RECIPES)
    def search(recipe):
        body = body_of(recipe)
        cost = cost_of(operation.body.parse, body)
        times = cost.seconds / normal / max(len(body), MiB)
        target(times)
        assert cost.memory < MAX_MEMORY
        assert times < MAX_TIMES

    search()
