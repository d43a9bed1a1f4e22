"""The files that come with the plugin name what it exports, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

import qcore_prometheus
from qcore.runtime import current
from qcore_prometheus.exporter import Exporter

FOLDER = Path(qcore_prometheus.__file__).parent / "ready_made"
README = Path(__file__).resolve().parents[1] / "README.md"
QUEUE = "prometheus"


def expressions():
    alerts = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    for group in alerts["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]
    board = json.loads((FOLDER / "grafana.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            # what Grafana puts in for its variables
            text = target["expr"].replace("$__rate_interval", "5m")
            yield f"panel {panel['title']}", text.replace("$queue", ".*")
    scaled = yaml.safe_load((FOLDER / "keda.yml").read_text())
    for trigger in scaled["spec"]["triggers"]:
        yield "keda", trigger["metadata"]["query"]


def selectors(node):
    """Yield (metric, names of labels) of all that an expression selects."""
    for found in re.finditer(r"(qcore_\w+)(?:\{([^}]*)\})?", str(node)):
        labels = re.findall(r"(\w+)(?:=~|!=|!~|=)", found[2] or "")
        yield found[1], set(labels)


@pytest.fixture
def exported(a_result, a_snapshot, monkeypatch):
    """Return {name of a sample: its labels} of all that is ever exported."""
    broker = current.broker(QUEUE)
    monkeypatch.setattr(type(broker), "sizes", lambda self: (1, 1))
    monkeypatch.setattr(type(broker), "oldest_waiting", lambda self: 1.0)
    exporter = Exporter(QUEUE, port=1, address="127.0.0.1")
    exporter.tally.add([a_result()])
    exporter.snapshot = a_snapshot()
    registry = CollectorRegistry()
    registry.register(exporter)
    return {
        sample.name: set(sample.labels)
        for family in registry.collect()
        for sample in family.samples
    }


@pytest.mark.parametrize(("where", "text"), list(expressions()))
def test_every_expression_selects_what_is_exported(where, text, exported):
    parsed = promql_parser.parse(text)
    found = list(selectors(parsed))
    assert found
    for metric, labels in found:
        assert metric in exported, f"{where} names {metric}, which nobody exports"
        assert labels <= exported[metric]


@pytest.mark.parametrize(("where", "text"), list(expressions()))
def test_every_grouping_is_by_a_label(where, text, exported):
    labels = set().union(*exported.values()) | {"le"}
    for grouped in re.findall(r"\bby \(([^)]*)\)", text):
        assert {word.strip() for word in grouped.split(",")} <= labels


def test_alerts_tell_what_has_happened_and_what_to_do():
    alerts = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_dashboard_can_be_imported():
    board = json.loads((FOLDER / "grafana.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids) > 8
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]]
    assert len(set(places)) == len(places)
    assert {v["name"] for v in board["templating"]["list"]} == {"source", "queue"}


def test_the_manifest_is_a_scaled_object():
    scaled = yaml.safe_load((FOLDER / "keda.yml").read_text())
    assert (scaled["apiVersion"], scaled["kind"]) == (
        "keda.sh/v1alpha1",
        "ScaledObject",
    )
    spec = scaled["spec"]
    assert spec["minReplicaCount"] < spec["maxReplicaCount"]
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "prometheus"
    assert {"serverAddress", "query", "threshold"} <= set(trigger["metadata"])
    assert float(trigger["metadata"]["threshold"]) > 0


def test_the_readme_names_every_metric(exported):
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in exported}
    named = set(re.findall(r"`(qcore_\w+)`", README.read_text())) - {"qcore_prometheus"}
    assert named == families
