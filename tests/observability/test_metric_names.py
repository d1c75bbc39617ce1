"""The names, types and labels of the metrics, which dashboards rely on, and the table of them for operators."""

import pytest

from runflow_mcp.observability.definitions import METRICS, OPERATIONS, Metric
from tests.test_contract import DEPLOY, rows_of

#: name → type and labels, as promised.
PROMISED = {
    "mcp_server_operation_duration_seconds": (
        "histogram",
        ("mcp_method_name", "gen_ai_tool_name", "error_type", "mcp_protocol_version"),
    ),
    "runflow_mcp_rejections_total": ("counter", ("code",)),
    "runflow_mcp_client_requests_total": ("counter", ("client", "mcp_protocol_version")),
    "runflow_mcp_waits": ("gauge", ()),
    "runflow_mcp_subscriptions": ("gauge", ()),
    "runflow_mcp_unread_bytes": ("gauge", ()),
    "runflow_mcp_runs_total": ("counter", ("event", "provider")),
    "runflow_mcp_run_cost_usd_total": ("counter", ("provider",)),
    "runflow_mcp_upstream_request_duration_seconds": ("histogram", ("operation", "outcome")),
    "runflow_mcp_upstream_retries_total": ("counter", ("operation",)),
    "runflow_mcp_catalog_age_seconds": ("gauge", ()),
    "runflow_mcp_catalog_models": ("gauge", ()),
    "runflow_mcp_catalog_refreshes_total": ("counter", ("result",)),
    "runflow_mcp_limit_store_up": ("gauge", ()),
    "runflow_mcp_limit_store_fallbacks_total": ("counter", ()),
    "runflow_mcp_event_loop_lag_seconds": ("histogram", ()),
}


def test_the_metrics_are_the_promised_ones() -> None:
    assert {metric.name: (metric.kind.value, metric.labels) for metric in METRICS} == PROMISED


def test_the_longest_wait_has_a_bucket() -> None:
    assert OPERATIONS.buckets[-1] == 600


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_operators_book_has_the_row_of_a_metric(metric: Metric) -> None:
    rows = [row for row in rows_of(DEPLOY) if row[0] == metric.name]
    labels = "`, `".join(metric.labels)
    assert [row[1:3] for row in rows] == [[metric.kind.value, labels]], f"deploy/README.md, “Metrics”: {metric.name}"
