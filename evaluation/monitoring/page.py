"""The monitoring report as one small page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evaluation.monitoring.business_page import business
from evaluation.monitoring.markup import definitions, sentences, share, table

STYLE = """
:root{color-scheme:light dark;--line:#d9dce1;--soft:#f5f6f8;--good:#0b6e4f;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--line:#3c4043;--soft:#26282c;--good:#5bc49b;--bad:#ff8a80}}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.3rem;margin:.2rem 0}h2{font-size:1rem;margin:1.6rem 0 .4rem}
p.window{margin:0;opacity:.75}
ul.alarms{border-left:4px solid var(--bad);background:var(--soft);padding:.6rem 1rem .6rem 2rem}
p.calm{border-left:4px solid var(--good);background:var(--soft);padding:.6rem 1rem}
dl{display:flex;flex-wrap:wrap;gap:.6rem 2.2rem;margin:.8rem 0}dt{opacity:.75;font-size:.85rem}
dd{margin:0;font-size:1.5rem;font-variant-numeric:tabular-nums}dd small{font-size:.8rem;opacity:.75}
article{border-left:4px solid var(--line);padding:.3rem 1rem;margin:.8rem 0;overflow-wrap:anywhere}
article.page{border-color:var(--bad)}article h3{font-size:1rem;margin:0}
article p{margin:.2rem 0}article b{font-weight:600}
h3{font-size:.95rem;font-weight:600;margin:1.2rem 0 .2rem}
table.words td:nth-child(2),table.words th:nth-child(2){text-align:left}
figure{margin:.4rem 0}figcaption,summary{font-size:.85rem;opacity:.8}summary{cursor:pointer}
svg{width:100%;max-width:40rem;height:auto;overflow:visible}polyline{fill:none;stroke-width:2}
.data{stroke:var(--good)}.axis{stroke:var(--line);stroke-width:1}
div.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600}th,td{white-space:nowrap}th:first-child,td:first-child{text-align:left}
"""


def page(report: Mapping[str, Any]) -> str:
    """HTML of `evaluation.monitoring.monitor.observe`'s report."""
    window, live = report["window"], report["traffic"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Weir: last {window['hours']:g} h</title><style>{STYLE}</style>",
        f"<h1>What Weir decided in the last {window['hours']:g} h</h1>",
        f"<p class=window>{escape(_time(window['start']))} to {escape(_time(window['end']))} UTC",
        _alarms(report["alarms"], report["anomalies"]),
        *_anomalies(report["anomalies"]),
        _figures(report),
        "<h2>Arms</h2>", _arms(live["arms"], report["errors"]),
        "<h2>Actions</h2>", table(("action", "decisions", "share"), _actions(live)),
        "<h2>Quality on audit labels</h2>", _quality(report["quality"]),
        *_performance(report["performance"]),
        *business(report["business"]),
        "<h2>Drift</h2>", _drift(report["drift"]),
    ]  # fmt: skip
    if report["gaps"]:
        parts += ["<h2>Not enough evidence</h2>", sentences(report["gaps"], "gaps")]
    return "\n".join(parts) + "\n"


def _alarms(alarms: Sequence[str], alerts: Sequence[Mapping[str, Any]]) -> str:
    """Alarms that no alert below tells, after how many alerts ask for somebody."""
    if not alarms:
        return "<p class=calm>No alarm."
    told = {f"{alert['reason']} ({alert['likely_cause']})" for alert in alerts}
    hints = [alert["severity_hint"] for alert in alerts]
    counts = [(hints.count("page"), "now"), (hints.count("ticket"), "within working hours")]
    ask = [
        f"{count} of the alerts below ask for somebody {when}" for count, when in counts if count
    ]
    return sentences([*ask, *(alarm for alarm in alarms if alarm not in told)], "alarms")


def _anomalies(alerts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each alert: what, why, the likely cause, the first thing to do."""
    if not alerts:
        return []
    return ["<h2>What is abnormal</h2>", *(_anomaly(alert) for alert in alerts)]


def _anomaly(alert: Mapping[str, Any]) -> str:
    subject = ", ".join(f"{key} {value}" for key, value in alert["subject"].items())
    hint = alert["severity_hint"]
    return (
        f"<article class={'page' if hint == 'page' else 'quiet'}>"
        f"<h3>{escape(alert['name'])} <small>{escape(hint)} · {escape(subject)}</small></h3>"
        f"<p>{escape(alert['reason'])}"
        f"<p><b>Likely cause:</b> {escape(alert['likely_cause'])}"
        f"<p><b>What to do:</b> {escape(alert['do'])}</article>"
    )


def _figures(report: Mapping[str, Any]) -> str:
    live, errors = report["traffic"], report["errors"] or {}
    figures = [
        ("decisions", f"{live['decisions']:,}"),
        ("positive", share(live["positive_rate"])),
        ("failed requests", share(errors.get("share"))),
        ("shadow disagrees", share(live["disagreement"])),
    ]
    return definitions(figures)


def _arms(arms: Mapping[str, Any], errors: Mapping[str, Any] | None) -> str:
    seen = (errors or {}).get("arms", {})
    rows = [
        (
            name, f"{arm['decisions']:,}", share(arm["positive_rate"]),
            *(f"{value:.1f}" for value in arm["latency_ms"].values()),
            str(seen[name]["errors"]) if name in seen else "–",
            ", ".join(arm["model_versions"]),
        )
        for name, arm in arms.items()
    ]  # fmt: skip
    heads = ("arm", "decisions", "positive", "p50 ms", "p95 ms", "p99 ms", "failed", "model")
    return table(heads, rows)


def _actions(live: Mapping[str, Any]) -> list[tuple[str, ...]]:
    total = max(live["decisions"], 1)
    return [(name, f"{n:,}", f"{n / total:.1%}") for name, n in live["actions"].items()]


def _quality(quality: Mapping[str, Any]) -> str:
    rows = [
        (
            version, f"{found['audit_labels']} of {found['audit_draws']}",
            *(share(found[name]) for name in ("precision", "recall", "false_positive_rate")),
        )
        for version, found in quality["versions"].items()
    ]  # fmt: skip
    return table(("model", "labelled of drawn", "precision", "recall", "false positives"), rows)


def _performance(performance: Mapping[str, Any] | None) -> list[str]:
    """Days estimated before their labels, slices, calibration and stages of the live model."""
    if performance is None:
        return []
    estimates = [
        (
            one["day"], share(one["precision"]), share(one["realised_precision"]),
            share(one["recall"]), share(one["realised_recall"]),
            "; ".join(one["reasons"]) or "reliable",
        )
        for one in performance["estimates"]
    ]  # fmt: skip
    slices = [
        (f"{one['by']}: {one['name']}", share(one["precision"]), share(one["recall"]))
        for one in performance["slices"]
    ]
    calibration = [
        (one["window"], share(one), f"{one['by_chance']:.1%}", "drifted" if one["drifted"] else "")
        for one in performance["calibration"]
    ]
    stages = [
        (one["stage"], f"{one['ran']:,}", share(one), f"{one['would_act']:.1%}")
        for one in performance["stages"]
    ]
    heads = ("day", "precision, estimated", "realised", "recall, estimated", "realised", "")
    return [
        f"<h2>Estimated before labels: {escape(performance['release'])}</h2>",
        table(heads, estimates),
        "<h2>Quality by slice</h2>", table(("slice", "precision", "recall"), slices),
        "<h2>Calibration</h2>",
        table(("day", "calibration error", "by chance below", ""), calibration),
        "<h2>Stages against the verdict</h2>",
        table(("stage", "ran", "disagrees", "would act"), stages),
    ]  # fmt: skip


def _drift(drift: Mapping[str, Any] | None) -> str:
    if drift is None or drift["drifted_share"] is None:
        return "<p>Too few days to compare."
    rows = [
        (name, f"{distance:.3f}", "drifted" if name in drift["drifted_columns"] else "")
        for name, distance in sorted(drift["columns"].items(), key=lambda item: -item[1])
    ]
    accepted = drift.get("accepted")
    by = f" Accepted by {escape(accepted['by'])}: {escape(accepted['reason'])}" if accepted else ""
    return (
        f"<p>{escape(drift['day'])} against {len(drift['reference_days'])} days before: "
        f"{len(drift['drifted_columns'])} of {len(rows)} columns drifted.{by}"
        + table(("column", "distance", ""), rows)
    )


def _time(stamp: str) -> str:
    return stamp.replace("T", " ")[:16]
