"""The files for Prometheus and Grafana, and the table of metrics, name the metrics that the code writes."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from dbca_openssl.cli.commands.server import probe
from dbca_openssl.finding import Finding, Level
from tools.support import ROOT, run

PAGES = ROOT / "docs/monitoring"
NAME = re.compile(r"\bdbca_(?:check|probe|cert|auth|crl)\w*")
CHECK = (ROOT / "dbca_openssl/cli/commands/check.py").read_text()
WRITTEN = {
    *re.findall(r'"(dbca_[a-z_]+)"', CHECK),
    *(f"dbca_probe_{code}" for code in probe._FACTS),
    *(name for name, _ in probe._ENDS.values()),
    probe._STATUS[0],
}


def test_the_table_has_all_metrics() -> None:
    table = re.findall(r"^\| `(dbca_\w+)`", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(WRITTEN)


def test_rules_and_dashboard_use_metrics_that_there_are() -> None:
    yaml: Any = importlib.import_module("yaml")
    rules = yaml.safe_load((PAGES / "dbca-alerts.yml").read_text())["groups"][0]["rules"]
    dashboard = json.loads((PAGES / "dashboard.json").read_text())
    expressions = [rule["expr"] for rule in rules]
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 15
    for text in expressions:
        facts = re.search(r"dbca_probe_\(([a-z|]+)\)", text)
        named = {f"dbca_probe_{fact}" for fact in facts.group(1).split("|")} if facts else set(NAME.findall(text))
        assert named or "node_textfile" in text, text
        assert named <= WRITTEN, text
    if promtool := shutil.which("promtool"):  # of Debian's prometheus, which nothing else here needs
        tested = run(promtool, "test", "rules", "dbca-alerts.test.yml", directory=PAGES)
        assert tested.code == 0, tested.output + tested.messages


def test_a_family_for_each_fact_is_what_prometheus_reads() -> None:
    servers = {
        'a"b\\c\n': [Finding(Level.CRITICAL, "server", "timed out")],
        "aiken": [Finding(Level.WARNING, code, "") for code in probe._FACTS if code != "server"],
    }
    families = list(text_string_to_metric_families("\n".join(probe._prometheus(servers)) + "\n"))
    assert len({one.name for one in families}) == len(families) == len(probe._FACTS)
    assert all(one.documentation and one.type == "gauge" for one in families)
    levels = {one.name: {sample.labels["server"]: sample.value for sample in one.samples} for one in families}
    assert levels["dbca_probe_server"] == {'a"b\\c\\n': 2, "aiken": 0}
    assert levels["dbca_probe_canary"] == {"aiken": 1}
