"""The dashboard and the alert rules: everything they name exists, and each alert fires when it should."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from runflow_mcp.observability.definitions import METRICS, Kind, Metric
from tests.deploy.deploy_files import DEPLOY
from tests.required_programs import require

DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
ALERTS = DEPLOY / "grafana" / "alerts.yaml"
RULES = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
BOOK = (DEPLOY / "README.md").read_text(encoding="utf-8")
#: Metrics of prometheus-client's, and of Prometheus itself.
OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
#: Labels that Prometheus adds, and the one of a histogram's buckets.
TARGET_LABELS = {"job", "instance"}
#: What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "5m", "$__range": "6h", "$job": ".*", "$instance": ".*"}
#: Words of the query language that look like metrics.
WORDS = {"sum", "by", "rate", "histogram_quantile", "increase", "max", "min"}


def panels() -> Iterator[Any]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def series_names(metric: Metric) -> set[str]:
    if metric.kind is Kind.HISTOGRAM:
        return {f"{metric.name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    return {metric.name}


LABELS = {name: {*metric.labels, "le"} for metric in METRICS for name in series_names(metric)}


def names_in(query: str) -> set[str]:
    """The metrics that a query names."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)", " ", query)
    return {word for word in re.findall(r"[a-z_][a-z0-9_]*", bare) if word not in WORDS}


def labels_in(query: str) -> set[str]:
    matchers = " ".join(re.findall(r"\{([^}]*)\}", query))
    grouping = ",".join(re.findall(r"\bby \(([^)]*)\)", query))
    return set(re.findall(r"(\w+)\s*[=!]", matchers)) | {word.strip() for word in grouping.split(",") if word.strip()}


@pytest.mark.parametrize("query", [*dashboard_queries(), *(rule["expr"] for rule in RULES)])
def test_every_metric_and_label_of_a_query_exists(query: str) -> None:
    names = names_in(query)
    assert names
    assert names <= LABELS.keys() | OTHERS
    known = set.union(TARGET_LABELS, *(LABELS.get(name, set()) for name in names))
    assert labels_in(query) <= known


@pytest.mark.parametrize("panel", list(panels()), ids=lambda panel: panel["title"])
def test_a_legend_names_labels_of_its_query(panel: Any) -> None:
    for target in panel["targets"]:
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels_in(target["expr"])


def test_the_dashboard_shows_every_metric() -> None:
    shown = set().union(*map(names_in, dashboard_queries()))
    assert [metric.name for metric in METRICS if not shown & series_names(metric)] == []


def test_no_two_panels_overlap_and_their_numbers_differ() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


# Alerts


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_the_operators_book_says_what_to_do_about_an_alert(rule: Any) -> None:
    rows = [line for line in BOOK.splitlines() if line.startswith(f"| `{rule['alert']}` |")]
    assert len(rows) == 1, f"deploy/README.md, “Alerts”, needs one row for {rule['alert']}"
    assert rule["annotations"]["runbook"] == "deploy/README.md#alerts"
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_operators_book_has_no_row_for_an_alert_that_is_gone() -> None:
    named = set(re.findall(r"^\| `(RunflowMcp\w+)` \|", BOOK, re.MULTILINE))
    assert named == {rule["alert"] for rule in RULES}


OPERATION = 'mcp_server_operation_duration_seconds_count{error_type="%s", instance="a"}'
UPSTREAM = "runflow_mcp_upstream_request_duration_seconds"
#: alert → series (per minute from 0 on) that make it fire within an hour, and the labels that it fires with.
FIRING: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "RunflowMcpDown": ({'up{job="runflow-mcp", instance="a"}': "0x60"}, {"job": "runflow-mcp", "instance": "a"}),
    "RunflowMcpInternalErrors": ({OPERATION % "jsonrpc_-32603": "0+6x60"}, {"instance": "a"}),
    "RunflowMcpRunflowFailing": (
        {
            f'{UPSTREAM}_count{{instance="a", outcome="2xx"}}': "0+60x60",
            f'{UPSTREAM}_count{{instance="a", outcome="5xx"}}': "0+40x60",
        },
        {"instance": "a"},
    ),
    "RunflowMcpRunflowSlow": (
        {
            f'{UPSTREAM}_bucket{{instance="a", operation="get_run", le="5"}}': "0+1x60",
            f'{UPSTREAM}_bucket{{instance="a", operation="get_run", le="10"}}': "0+9x60",
            f'{UPSTREAM}_bucket{{instance="a", operation="get_run", le="+Inf"}}': "0+9x60",
        },
        {"instance": "a", "operation": "get_run"},
    ),
    "RunflowMcpRunsFailing": (
        {
            'runflow_mcp_runs_total{event="failed", provider="google"}': "0+4x60",
            'runflow_mcp_runs_total{event="succeeded", provider="google"}': "0+6x60",
        },
        {"provider": "google"},
    ),
    "RunflowMcpCatalogMissing": ({'runflow_mcp_catalog_models{instance="a"}': "0x60"}, {"instance": "a"}),
    "RunflowMcpCatalogStale": ({'runflow_mcp_catalog_age_seconds{instance="a"}': "3000+60x60"}, {"instance": "a"}),
    "RunflowMcpLimitStoreDown": ({'runflow_mcp_limit_store_up{instance="a"}': "0x60"}, {"instance": "a"}),
    "RunflowMcpWaitsNearLimit": ({'runflow_mcp_waits{instance="a"}': "4500x60"}, {"instance": "a"}),
    "RunflowMcpBusy": ({OPERATION % "server_busy": "0+1x60"}, {"instance": "a"}),
    "RunflowMcpRateLimited": (
        {'runflow_mcp_rejections_total{code="rate_limited", instance="a"}': "0+60x60"},
        {"instance": "a"},
    ),
    "RunflowMcpEventLoopSlow": (
        {
            'runflow_mcp_event_loop_lag_seconds_bucket{instance="a", le="0.1"}': "0+200x60",
            'runflow_mcp_event_loop_lag_seconds_bucket{instance="a", le="0.2"}': "0+240x60",
            'runflow_mcp_event_loop_lag_seconds_bucket{instance="a", le="+Inf"}': "0+240x60",
        },
        {"instance": "a"},
    ),
    "RunflowMcpMemoryHigh": (
        {'process_resident_memory_bytes{job="runflow-mcp", instance="a"}': "900000000x60"},
        {"job": "runflow-mcp", "instance": "a"},
    ),
}
#: What the same series look like when all is well: no alert fires.
QUIET = {
    'up{job="runflow-mcp", instance="a"}': "1x60",
    OPERATION % "": "0+100x60",
    f'{UPSTREAM}_count{{instance="a", outcome="2xx"}}': "0+100x60",
    f'{UPSTREAM}_count{{instance="a", outcome="5xx"}}': "0+1x60",
    'runflow_mcp_runs_total{event="succeeded", provider="google"}': "0+9x60",
    'runflow_mcp_runs_total{event="failed", provider="google"}': "0+1x60",
    'runflow_mcp_catalog_models{instance="a"}': "45x60",
    'runflow_mcp_catalog_age_seconds{instance="a"}': "200x60",
    'runflow_mcp_limit_store_up{instance="a"}': "1x60",
    'runflow_mcp_waits{instance="a"}': "100x60",
    'runflow_mcp_rejections_total{code="rate_limited", instance="a"}': "0+1x60",
    'process_resident_memory_bytes{job="runflow-mcp", instance="a"}': "60000000x60",
}


def promtool(*arguments: str) -> None:
    done = subprocess.run(  # noqa: S603
        [require("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rule_test(series: dict[str, str], expected: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
    """One test of promtool's: after an hour exactly these alerts fire, with these labels."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": "60m",
                "alertname": rule["alert"],
                "exp_alerts": [
                    {"exp_labels": {**labels, "severity": rule["labels"]["severity"]}}
                    for labels in expected.get(rule["alert"], [])
                ],
            }
            for rule in RULES
        ],
    }


def test_promtool_accepts_the_rules_and_every_query_of_the_dashboard(tmp_path: Path) -> None:
    promtool("check", "rules", str(ALERTS))
    queries = []
    for number, query in enumerate(dashboard_queries()):
        plain = query
        for variable, value in VARIABLES.items():
            plain = plain.replace(variable, value)
        queries.append({"record": f"query:{number}", "expr": plain})
    file = tmp_path / "dashboard.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": queries}]}))
    promtool("check", "rules", str(file))


def test_each_alert_fires_on_its_condition_and_none_otherwise(tmp_path: Path) -> None:
    assert FIRING.keys() == {rule["alert"] for rule in RULES}
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        del rule["annotations"]  # their text is not compared
    (tmp_path / "alerts.yaml").write_text(json.dumps(rules))
    tests = [rule_test(series, {alert: [labels]}) for alert, (series, labels) in FIRING.items()]
    tests.append(rule_test(QUIET, {}))
    file = tmp_path / "tests.yaml"
    file.write_text(json.dumps({"rule_files": ["alerts.yaml"], "tests": tests}))
    promtool("test", "rules", str(file))
