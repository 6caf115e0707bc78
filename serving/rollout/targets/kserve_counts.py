"""What the pods of a slot have answered, as Prometheus counted it."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from data_contracts.config import KServe
from data_contracts.errors import ConfigurationError, ServiceUnavailable
from serving.rollout.targets.base import Counters

PATTERN = "{pods}"
_SECONDS = 5.0


def prometheus_counts(
    settings: KServe, client: httpx.Client | None = None
) -> Callable[[str], Counters]:
    """Counts for a pattern of pod names, by the two queries of the configuration.

    Raises ConfigurationError for a query that asks of no pods in particular.
    """
    for key in ("requests_query", "errors_query"):
        query = getattr(settings, key)
        if PATTERN not in query:
            raise ConfigurationError(
                f"rollout.kserve.{key} = {query!r} names no pods; put {PATTERN} where the pattern "
                "of their names belongs"
            )
    client = client or httpx.Client(timeout=_SECONDS)

    def counts(pods: str) -> Counters:
        requests = _value(client, settings, settings.requests_query.replace(PATTERN, pods))
        return Counters(
            requests, _value(client, settings, settings.errors_query.replace(PATTERN, pods))
        )

    return counts


def _value(client: httpx.Client, settings: KServe, query: str) -> int:
    """The one sample of the answer; no series yet is zero."""
    url = f"{settings.prometheus_url}/api/v1/query"
    try:
        answer = client.get(url, params={"query": query})
        answer.raise_for_status()
        found = answer.json()["data"]["result"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise ServiceUnavailable(
            f"Prometheus at rollout.kserve.prometheus_url = {settings.prometheus_url} did not "
            f"answer {query!r}: {error}; the judge counts no copies without it"
        ) from None
    return int(float(found[0]["value"][1])) if found else 0
