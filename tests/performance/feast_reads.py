"""Feast's Redis path, in the environment that has Feast; driven by `bench_features`.

    python feast_reads.py FOLDER REDIS_PORT ENTITIES FEATURES

Fills the store, says {"version": …}; then answers each line {"reads": n, "entities": m} with the
CPU seconds of n reads of m entities each, and the values of the last. Nothing of Weir is imported.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

VIEW = "behaviour"


def main() -> None:
    warnings.simplefilter("ignore")
    import feast  # only in the environment that has it

    folder, port, entities, features = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    names = [f"f{number}" for number in range(features)]
    store = _filled(folder, port, entities, names)
    _answer({"version": feast.__version__})
    for line in sys.stdin:
        _answer(_measured(store, names, entities, **json.loads(line)))


def _filled(folder: Path, port: int, entities: int, names: list[str]) -> Any:
    """A store with the rows that `bench_features.values_of` gives Weir's."""
    import feast
    import pandas as pd
    from feast.types import Float64

    config = feast.RepoConfig(
        project="weir", provider="local", registry=str(folder / "registry.db"),
        online_store={"type": "redis", "connection_string": f"127.0.0.1:{port}"},
        entity_key_serialization_version=3,
    )  # fmt: skip
    now = datetime.now(timezone.utc)  # noqa: UP017 - any Python that Feast takes
    rows = pd.DataFrame(
        {
            "account": [f"account-{row}" for row in range(entities)],
            "event_timestamp": now,
            **{
                name: [row + column / 64 for row in range(entities)]
                for column, name in enumerate(names)
            },
        }
    )
    rows.to_parquet(folder / "rows.parquet")
    account = feast.Entity(name="account", join_keys=["account"], value_type=feast.ValueType.STRING)
    source = feast.FileSource(path=str(folder / "rows.parquet"), timestamp_field="event_timestamp")
    view = feast.FeatureView(
        name=VIEW, entities=[account], ttl=timedelta(days=1), online=True,
        schema=[feast.Field(name=name, dtype=Float64) for name in names],
        source=source,
    )  # fmt: skip
    store = feast.FeatureStore(config=config)
    store.apply([account, view])
    store.write_to_online_store(VIEW, rows)
    return store


def _measured(
    store: Any, names: list[str], known: int, *, reads: int, entities: int
) -> dict[str, Any]:
    references = [f"{VIEW}:{name}" for name in names]
    found: dict[str, list[float]] = {}
    began = time.process_time()
    for read in range(reads):
        wanted = [{"account": f"account-{(read + one) % known}"} for one in range(entities)]
        found = store.get_online_features(features=references, entity_rows=wanted).to_dict()
    spent = time.process_time() - began
    rows = [list(row) for row in zip(*(found[name] for name in names))]  # noqa: B905
    return {"seconds": spent, "rows": rows}


def _answer(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
