"""Which tests run one after the other in one worker, and which of them begin first.

With several workers (`pytest -n 2`, as `make test` does) a file's tests stay together: they share
what the file sets up. Files that share a dear server stay together too. What takes long begins
first, so that no worker is left with it at the end. Alone (`pytest FILE`) nothing of this matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

# Files that share the API server of the session.
KUBERNETES = (
    "tests/integration/test_kubernetes_manifests.py",
    "tests/integration/test_kubernetes_traffic.py",
    "tests/integration/test_kubernetes_autoscaling.py",
    "tests/integration/test_kserve_target.py",
    "tests/behaviour/test_traffic_target.py",
)
# The longest, beside those, the longest first.
LONG = (
    "tests/integration/test_label_studio.py",
    "tests/behaviour/test_label_queue_machine.py",
    "tests/integration/test_airflow.py",
    "tests/behaviour/test_rollout_machine.py",
    "tests/integration/test_approval_in_browser.py",
    "tests/integration/test_daily_sample_on_spark.py",
    "tests/integration/test_model_card_in_browser.py",
    "tests/unit/training/test_distributed.py",
    "tests/integration/test_all_modalities.py",
    "tests/integration/test_selection_on_spark.py",
    "tests/integration/test_tracking_server.py",
    "tests/integration/test_kubeflow_pipeline.py",
    "tests/integration/test_rollout.py",
    "tests/integration/test_protocol_conformance.py",
)
ORDER = (KUBERNETES[0], *LONG)


def together(node: str) -> str:
    """What names the tests that one worker runs: their file, or the first of a group.

    >>> together("tests/unit/serving/test_canary.py::test_a_share_grows")
    'tests/unit/serving/test_canary.py'
    >>> together("tests/behaviour/test_traffic_target.py::test_nothing")
    'tests/integration/test_kubernetes_manifests.py'
    """
    file = node.partition("::")[0]
    if file.startswith("tests/dags/"):
        return "tests/dags"  # one Airflow answers for all of them
    return KUBERNETES[0] if file in KUBERNETES else file


def place(node: str) -> int:
    """Where a test stands in the order of beginning.

    >>> place("tests/behaviour/test_rollout_machine.py::test_a") < place("tests/unit/test_b.py::b")
    True
    """
    name = together(node)
    return ORDER.index(name) if name in ORDER else len(ORDER)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker only: whoever runs tests alone wants them in the order in which they stand."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hands out what stays together as a whole, in the order in which it was collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    config.option.loadscopereorder = False
    return Together(config, log)
