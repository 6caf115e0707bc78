"""What to do about an alert of the hourly report: the first step, as one line for a tired reader.

Incident response knows the whole playbook (`infra/config/playbooks.yaml`); this is where to begin.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from data_contracts.alerts import Alert

FIRST = "python -m serving incidents list"
LOOK = "see which of its series moved first, and whether a release or a slice is named"
SERIES = (  # path of a series, first match
    ("*positive_rate*", "read ten of the events that were acted on (python -m serving inspect ID)"),
    ("*latency*", "see whether one stage's time grew, or the queue"),
    ("errors.*", "read logs/gateway-access.jsonl for the arm that fails"),
    ("*decisions", "see whether clients stopped sending, or one slice began to flood"),
    ("*requests", "see whether clients stopped sending, or one slice began to flood"),
    ("business.appeals.*", "read the newest appeals (python -m serving appeals)"),
    ("business.*", "see the section Business: which action, reason, slice or release moved"),
    ("quality.*", "compare with the section on audit labels before blaming the model"),
    ("performance.*", "compare with the section on audit labels before blaming the model"),
    ("*", LOOK),
)
NAMED = (  # name of an alert, first match
    ("SpecialistsOverruledActedOn", "read the examples; if they are ordinary, loosen or roll back"),
    ("SpecialistsOverruledLetThrough", "read the examples; sample and label them if it is spam"),
    ("DuplicatesDecidedDifferently", "inspect both of a pair; look for two releases or a stage "
     "that ran for one of them"),
    ("FeatureBroken", "ask who sends it what changed; train on none of it until it is mended"),
    ("*Drift", "see the day's drift report; mend the source, or python -m evaluation accept-drift"),
    ("ScoresAgainstOutcomes", "fit the thresholds anew on audit labels, or retrain"),
    ("AuditedPrecisionLow", "people are silenced: roll back, then python -m serving remedy"),
    ("EngagementLost", "people left after wrongful actions: python -m serving "
     "remedy for the release that acted, and read its appeals"),
    ("FalseNegativesSeen", "spam is seen: sample and label it, and see whether it is a campaign"),
    ("AuditedRecallLow", "sample and label what gets through, and see whether it is a campaign"),
    ("Estimated*", "hurry the audit's labels (python -m pipelines review-quality)"),
    ("EstimateUnreliable", "trust no estimate until new labels are in"),
    ("*", LOOK),
)  # fmt: skip


def what_to_do(alert: Alert) -> str:
    """One line: what to look at first, and where its incident is.

    >>> from datetime import UTC, datetime
    >>> alert = Alert("Anomaly", "page", {"series": "errors.share.value"}, 1.0, None, None, None,
    ...               datetime(2026, 1, 5, tzinfo=UTC), "", "")
    >>> what_to_do(alert)
    'read logs/gateway-access.jsonl for the arm that fails; python -m serving incidents list'
    """
    series = alert.subject.get("series")
    table, name = (NAMED, alert.name) if series is None else (SERIES, series)
    return f"{next(said for pattern, said in table if fnmatchcase(name, pattern))}; {FIRST}"
