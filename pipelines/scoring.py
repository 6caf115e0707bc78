"""Fresh verdicts through the gateway, in the bulk class, so that live traffic goes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from data_contracts.config import Serving
from data_contracts.errors import BadInput, ServiceUnavailable
from data_contracts.events import Event
from data_contracts.verdicts import Verdict

BULK = {"X-Weir-Priority": "bulk", "Content-Type": "application/json"}
ENVELOPE_BYTES = len(b'{"instances":[]}')


@dataclass(frozen=True)
class GatewayScorer:
    """Implements `data_contracts.protocols.Scorer` over the gateway's V1 endpoint.

    Batches hold at most `serving.maximum_batch` events and `serving.maximum_body_bytes` bytes.
    Raises ServiceUnavailable where the gateway or a model behind it does not answer, BadInput
    where it refuses an event. Close it, or use it in a `with` statement.
    """

    serving: Serving
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=httpx.Timeout(120.0, connect=3.0))
    )

    def __enter__(self) -> GatewayScorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    @property
    def url(self) -> str:
        at = f"{self.serving.host}:{self.serving.gateway_port}"
        return f"http://{at}/v1/models/{self.serving.model_name}:predict"

    def score(self, events: Sequence[Event]) -> Sequence[Verdict]:
        """One verdict an event, in the order of the events."""
        verdicts: list[Verdict] = []
        limits = self.serving.maximum_batch, self.serving.maximum_body_bytes
        for batch in batches([_encoded(event) for event in events], *limits):
            verdicts += self._predict(batch)
        for event, verdict in zip(events, verdicts, strict=True):
            if event.event_id != verdict.event_id:
                raise ServiceUnavailable(f"{self.url} answered out of order; check the server")
        return verdicts

    def _predict(self, batch: Sequence[bytes]) -> list[Verdict]:
        body = b'{"instances":[' + b",".join(batch) + b"]}"
        try:
            response = self.client.post(self.url, content=body, headers=BULK)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"gateway {self.url} does not answer ({type(error).__name__}); start it with "
                "`make up`, or mend serving.host and serving.gateway_port"
            ) from None
        self._check_status(response)
        predictions = _predictions(response.content)
        if predictions is None or len(predictions) != len(batch):
            raise ServiceUnavailable(
                f"{self.url} did not answer {len(batch)} events with as many verdicts; is another "
                "program listening on serving.gateway_port?"
            )
        return predictions

    def _check_status(self, response: httpx.Response) -> None:
        if response.status_code == httpx.codes.OK:
            return
        said = f"{self.url} answered {response.status_code}: {response.text[:200].strip()}"
        if response.is_server_error or response.status_code in (404, 429):
            raise ServiceUnavailable(f"{said}; no model is ready to score: wait, or deploy one")
        raise BadInput(f"{said}; mend the events or serving.maximum_batch")


def batches(items: Sequence[bytes], maximum: int, maximum_bytes: int) -> Iterator[list[bytes]]:
    """Cut in order into batches of at most `maximum` items and `maximum_bytes` of body.

    An item that is too large by itself travels alone, for the server to judge.

    >>> [len(batch) for batch in batches([b"12345"] * 5, maximum=3, maximum_bytes=28)]
    [2, 2, 1]
    """
    batch: list[bytes] = []
    size = ENVELOPE_BYTES
    for item in items:
        if batch and (len(batch) == maximum or size + len(item) + 1 > maximum_bytes):
            yield batch
            batch, size = [], ENVELOPE_BYTES
        batch.append(item)
        size += len(item) + 1
    if batch:
        yield batch


def _encoded(event: Event) -> bytes:
    return orjson.dumps(event.model_dump(mode="json", exclude_defaults=True))


def _predictions(content: bytes) -> list[Verdict] | None:
    """The verdicts of a V1 answer; None where it is not one."""
    try:
        answer: Any = orjson.loads(content)
        return [Verdict.from_record(one["verdict"]) for one in answer["predictions"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
