"""The plan as a person reads it: what it rests on, the pools, what a lost zone costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill

import numpy as np

from serving.capacity.latencies import Estimate, Latencies
from serving.capacity.planning import CapacityPlan, PoolPlan, Scenario

Rows = list[tuple[str, ...]]
POOL_COLUMNS = (
    "pool", "pods", "each", "requests/s", "a pod takes", "busy", "p50", "p95", "p99 ms",
)  # fmt: skip
LOSS_COLUMNS = (
    "pool", "pods", "p99 ms", "beyond budget", "must be shed", "to keep it", "p99 ms",
)  # fmt: skip
KIND_COLUMNS = ("content", "pool", "p50", "p95", "p99")
LIMITS = {"p99": "p99", "utilisation": "load"}
WIDTH = 96  # characters of a line of prose
SIMULATED = "A simulation: queues fed with measured service times. No cluster was measured."


def headline(plan: CapacityPlan) -> str:
    """The answer in one sentence."""
    least, kept = (_pods(plan, kept=kept) for kept in (False, True))
    zones = plan.scenario.zones.count
    more = f"; {kept} also keep a lost zone (1 of {zones})" if zones > 1 else ""
    return f"{plan.scenario.verdicts_per_second:,.0f} verdicts/s need {least}{more}."


def basis(plan: CapacityPlan) -> list[str]:
    """What was measured, and what is assumed."""
    scenario, times = plan.scenario, plan.times
    lines = [
        f"Load: {_mix(scenario)}; {scenario.spam_share:.0%} of it spam; {_arrivals(scenario)}.",
        f"Service times: measured {times.measured_at[:10]} (commit {times.commit}) on "
        f"{times.machine}. {times.origin}",
        f"Must hold: p99 within {scenario.limits.p99_milliseconds:g} ms in every pool, by the "
        f"upper end of its interval; at most {scenario.limits.utilisation:.0%} of a pod's "
        "capacity with full batches; stages afterwards within "
        f"{scenario.afterwards_seconds:g} s at p99.",
        f"Assumed: {scenario.cores_per_pod} cores a CPU pod, each a worker as fast as the one that "
        "was measured alone, all behind one queue (`serving.inference_threads` as many); where "
        "each has its own, --cores-per-pod 1 says what that costs; "
        f"{scenario.gateways} gateways, each of which sends to the emptier of two pods by its own "
        f"requests alone; {scenario.way_milliseconds:g} ms through gateway and network; all pods "
        "alike; no retries. Stages afterwards have pods of their own; a model server of today runs "
        "them in a thread beside its answers.",
    ]
    if "gpu" not in times.pools:
        lines.append(
            "No GPU was measured, so that media are planned on CPU pods. A file of --service-times "
            "with a pool `gpu` plans them on GPU pods; nothing in the project measures one yet."
        )
    return lines


def pool_rows(plan: CapacityPlan) -> Rows:
    """Each pool with the least pods; then all verdicts, whichever pool gave them."""
    rows = [_pool_row(pool, plan.scenario) for pool in plan.pools]
    pods = sum(pool.least.pods for pool in plan.hot_pools)
    together = (f"{plan.verdict_latency(at, kept=False):,.1f}" for at in (50, 95, 99))
    rate = f"{plan.scenario.verdicts_per_second:,.0f}"
    return [*rows, ("all verdicts", f"{pods:,}", "", rate, "", "", *together)]


def _pool_row(pool: PoolPlan, scenario: Scenario) -> tuple[str, ...]:
    found, shape = pool.least.steady, pool.sustained.shape
    batch = f", {shape.largest_batch} at a time" if shape.largest_batch > 1 else ""
    cores = "core" if shape.workers == 1 else "cores"
    unit = "GPU" if pool.demand.hardware == "gpu" else cores
    return (
        pool.demand.name,
        f"{pool.least.pods:,}",
        f"{shape.workers} {unit}{batch}",
        f"{scenario.verdicts_per_second * pool.demand.share_of_verdicts:,.0f}",
        f"{pool.sustained.rate:,.0f}/s by {LIMITS[pool.sustained.limited_by]}",
        f"{found.utilisation:.0%}",
        *(f"{found.percentiles[at].value:,.1f}" for at in (50, 95)),
        margin(found.p99),
    )


def kind_rows(plan: CapacityPlan) -> Rows:
    """Milliseconds by content kind, with the least pods and every zone."""
    return [
        (kind, pool.demand.name, *(f"{by[at]:,.1f}" for at in (50, 95, 99)))
        for pool in plan.pools
        for kind, by in pool.least.steady.by_kind.items()
    ]


def loss_rows(plan: CapacityPlan) -> Rows:
    """What the loss of a zone does to the least pods, and what it costs to keep it in budget."""
    return [
        (
            pool.demand.name, f"{pool.least.pods:,}", margin(lost.p99),
            f"{lost.beyond.value:.1%}", f"{pool.least.shed_share:.0%}", _extra(pool),
            margin(kept.p99),
        )
        for pool, lost, kept in _losses(plan)
    ]  # fmt: skip


def loss_title(plan: CapacityPlan) -> str:
    zones = plan.scenario.zones
    return (
        f"The first {zones.seconds:g} s after one of {zones.count} zones is lost, before "
        "autoscaling reacts; nothing is shed"
    )


def _losses(plan: CapacityPlan) -> Iterator[tuple[PoolPlan, Latencies, Latencies]]:
    for pool in plan.pools:
        if pool.least.after_a_loss is not None and pool.kept.after_a_loss is not None:
            yield pool, pool.least.after_a_loss, pool.kept.after_a_loss


def _extra(pool: PoolPlan) -> str:
    more = pool.kept.pods - pool.least.pods
    return f"{pool.kept.pods:,} (+{more:,}, +{more / pool.least.pods:.0%})"


def margin(estimate: Estimate) -> str:
    """Milliseconds, with half the width of the interval."""
    if not np.isfinite(estimate.value):
        return "without bound"
    return f"{estimate.value:,.1f} ± {estimate.high - estimate.value:,.1f}"


def _pods(plan: CapacityPlan, *, kept: bool) -> str:
    cpu, gpu = plan.pods("cpu", kept=kept), plan.pods("gpu", kept=kept)
    found = f"{cpu:,} CPU pods"
    return f"{found} and {gpu:,} GPU pods" if gpu else found


def _mix(scenario: Scenario) -> str:
    return ", ".join(f"{kind} {share:.3g} %" for kind, share in _percent(scenario))


def _percent(scenario: Scenario) -> list[tuple[str, float]]:
    return [(kind, 100 * share) for kind, share in scenario.mix.items()]


def _arrivals(scenario: Scenario) -> str:
    bursts = scenario.bursts
    if bursts.variation == 0:
        return "Poisson arrivals"
    return (
        f"Poisson arrivals whose rate changes every {bursts.seconds:g} s by a Gamma factor of "
        f"coefficient of variation {bursts.variation:g}"
    )


def print_report(plan: CapacityPlan) -> None:
    """To the terminal, on standard output."""
    print(f"\n{headline(plan)}\n{SIMULATED}\n")
    _print_table("The least pods, with every zone:", POOL_COLUMNS, pool_rows(plan))
    _print_table("By content:", KIND_COLUMNS, kind_rows(plan))
    if rows := loss_rows(plan):
        _print_table(f"{loss_title(plan)}:", LOSS_COLUMNS, rows)
    for line in basis(plan):
        print(fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ",
                   break_on_hyphens=False))  # fmt: skip


def _print_table(title: str, columns: Sequence[str], rows: Rows) -> None:
    """The first column to the left, numbers to the right."""
    cells = [columns, *rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    print(title)
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join([first.strip().ljust(widths[0]), *others]).rstrip())
    print()
