"""Typed configuration: `base.yaml` < `{environment}.yaml` < `WEIR__SECTION__KEY`.

Loaded once, in each command line; frozen; unknown keys are rejected. A function gets its
section, never the tree. Secrets are not configuration: see `data_contracts.secrets`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from data_contracts.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parent.parent
CONFIG_FOLDER = PROJECT / "infra" / "config"
ENVIRONMENT_PREFIX = "WEIR__"

Port = Annotated[int, Field(ge=1, le=65_535)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
DnsLabel = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Priority = Literal["interactive", "normal", "bulk", "shadow"]
PRIORITIES: tuple[Priority, ...] = ("interactive", "normal", "bulk", "shadow")  # most urgent first


class Section(BaseModel):
    """A frozen part of the configuration that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """`root` is searched before a dataset's public origin is downloaded.

    `encoder_variant`: the encoder as published, or what `training quantise` kept of it, int8 for
    CPUs or fp16 for GPUs. It goes into the models that are trained from now on.
    """

    root: Path
    download: bool
    encoder: str
    encoder_variant: Literal["published", "quantised", "cuda"]
    maximum_event_bytes: Positive


class Traffic(Section):
    """The replay: which catalogue sets become how many days of events."""

    datasets: tuple[str, ...]
    days: Positive
    events_per_day: Positive
    first_day: str
    seed: int


class State(Section):
    """One SQLAlchemy URL for queue, rollout, audit trail; `{home}` stands for the Weir home."""

    url: str


class SamplingArm(Section):
    """An arm beside the audit: its part of what the audit leaves, and the least of the budget."""

    share: Share
    floor: Share


class Labelling(Section):
    """The daily review budget, its division among arms, and the lease of a task.

    `arms` are samplers by name (`pipelines.labelling.samplers.SAMPLERS`); their shares sum to 1
    and hold until the worth of each arm's labels is measured, over `worth_days`. What is new
    today shows against the `reference_days` before it.
    """

    budget: Positive
    audit_share: Annotated[float, Field(gt=0, le=1)]
    arms: dict[str, SamplingArm]
    reference_days: Positive
    worth_days: Positive
    flip_candidates: Annotated[int, Field(ge=0)]
    engine: Literal["duckdb", "spark"]
    spark_master: str | None = None
    seed: int
    lease_seconds: Seconds
    review_delay_seconds: Annotated[float, Field(ge=0)]
    double_label_share: Share
    gold_share: Annotated[float, Field(ge=0, lt=1)]
    exposure_cap: Annotated[int, Field(ge=0)]
    exposure_window_hours: Annotated[float, Field(gt=0)]

    @field_validator("arms")
    @classmethod
    def _divide_the_budget(
        cls, arms: dict[str, SamplingArm], info: ValidationInfo
    ) -> dict[str, SamplingArm]:
        if "audit" in arms:
            raise ValueError("the audit is no arm among others; its part is labelling.audit_share")
        total = sum(arm.share for arm in arms.values())
        if not math.isclose(total, 1.0):
            raise ValueError(f"the shares sum to {total:g}, not 1")
        kept = info.data.get("audit_share", 0.0) + sum(arm.floor for arm in arms.values())
        if kept > 1.0:
            raise ValueError(f"labelling.audit_share and the floors sum to {kept:g}, more than 1")
        return arms


class Review(Section):
    """Label Studio: where it answers, Weir's project there, and how long it holds its tasks.

    `administrator` is the user whom `make review` makes, and who lets reviewers in.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^/]+$")]
    project: Annotated[str, Field(min_length=3, max_length=50)]
    administrator: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    lease_hours: Annotated[float, Field(gt=0)]


class FeatureStore(Section):
    """The online feature store: embedded for one machine, Redis where servers share one, or none.

    Where Redis is says the secret WEIR_REDIS_URL. A call waits `timeout_milliseconds` for a
    connection, and as long for an answer. `maximum_gib` bounds LMDB; Redis has `maxmemory`, and
    forgets what was not written for `time_to_live_days`.
    """

    engine: Literal["none", "lmdb", "redis"]
    maximum_gib: Annotated[float, Field(gt=0)]
    time_to_live_days: Annotated[float, Field(ge=7)]  # trends and trails look back over a week
    timeout_milliseconds: Annotated[float, Field(gt=0)]


class EnsembleStage(Section):
    """One stage beside the text: `module:Class` of its extractor and specialist, and its cost.

    `modality` is what the event must carry; `cpu_milliseconds` is the expected cost of running
    the stage once, which the activation policy weighs against the event's doubt.
    """

    modality: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    extractor: Annotated[str, Field(pattern=r"^[a-z_.]+:[A-Za-z]+$")]
    specialist: Annotated[str, Field(pattern=r"^[a-z_.]+:[A-Za-z]+$")]
    cpu_milliseconds: Annotated[float, Field(gt=0)]


class EnsembleSettings(Section):
    """The stages beside the text, cheap ones first. A new modality is one line here."""

    stages: dict[str, EnsembleStage]


class HardeningAttack(Section):
    """How strongly copies are disguised: shares of the characters or words in reach, and why."""

    rates: Annotated[tuple[Share, ...], Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]


class Hardening(Section):
    """Disguised copies of training rows, as shares of the rows of each label; 0 makes none.

    `attacks` are named as in `pipelines.perturbations`; one of them, by chance, makes a copy.
    """

    spam_share: Annotated[float, Field(ge=0, le=5)]
    ham_share: Annotated[float, Field(ge=0, le=5)]
    attacks: dict[str, HardeningAttack]


class Training(Section):
    """What one training does by default."""

    trials: Positive
    search_seconds: Seconds
    folds: Annotated[int, Field(ge=2)]
    seed: int
    target_false_positive_rate: Annotated[float, Field(gt=0, lt=0.5)]
    minimum_new_labels: Positive
    hardening: Hardening


class Gates(Section):
    """Where the gate policies are: floors, margins and slices, as data with reasons.

    A model is asked in up to `workers` processes, where cores are free and what is to be scored
    costs as much as `parallel_from` texts.
    """

    policy: Path
    workers: Positive
    parallel_from: Positive


class Registry(Section):
    """MLflow: the tracking server, the registered model, and who and what may approve a version.

    `backend_url` is where the tracking server keeps its tables; `{home}` stands for the Weir home.
    `waiver_signers` may waive missing evidence: name to Ed25519 public key, in hexadecimal
    (`python -m training waiver public-key`).
    """

    tracking_uri: str
    backend_url: str
    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    experiment: str
    reviewers: Annotated[tuple[str, ...], Field(min_length=1)]
    required_gates: Annotated[tuple[str, ...], Field(min_length=1)]
    approval_lifetime_hours: Annotated[float, Field(gt=0)]
    waiver_signers: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    waiver_days_at_most: Positive


class ApprovalReceiver(Section):
    """`python -m serving approval`: it hears of approvals and starts their rollouts.

    It listens on `serving.host`. MLflow reports to `webhook_url` (null: no webhook, the receiver
    only asks every `reconcile_seconds`); rollouts start in the Airflow at `airflow_url`. A report
    older or newer than `window_seconds` is refused.
    """

    port: Port
    webhook_url: Annotated[str, Field(pattern=r"^https?://[^/]+/.*$")] | None
    airflow_url: Annotated[str, Field(pattern=r"^https?://[^/]+$")]
    airflow_user: str
    reconcile_seconds: Annotated[float, Field(gt=0)]
    window_seconds: Annotated[float, Field(gt=0)]
    maximum_body_bytes: Positive


class Appeals(Section):
    """`python -m serving appeals`, on `serving.host`: who was acted on may ask for a person.

    An appeal is heard within `window_days` of the decision; a reviewer should have decided it after
    `review_hours`, and holds it for `lease_hours` at most. `webhook_url` is where the platform
    takes an action back (null: reversals are only recorded).
    """

    port: Port
    window_days: Positive
    review_hours: Annotated[float, Field(gt=0)]
    lease_hours: Annotated[float, Field(gt=0)]
    per_account_per_day: Positive
    maximum_statement_characters: Positive
    maximum_body_bytes: Positive
    settle_seconds: Seconds
    success_days: Positive
    webhook_url: Annotated[str, Field(pattern=r"^https?://[^/]+/.*$")] | None = None


class MediaPool(Section):
    """A second server in every slot, for what carries media; `variables` is its environment."""

    first_slot_port: Port
    variables: dict[str, str] = Field(default_factory=dict)


class PriorityClass(Section):
    """One class of requests: the most of the waiting room it may hold, and when it is too late.

    A request is let in to wait where its answer is expected within `planned_share` of the time
    until its deadline; the rest is for what nobody foresaw.
    """

    share: Annotated[float, Field(gt=0, le=1)]
    planned_share: Annotated[float, Field(gt=0, le=1)]
    deadline_milliseconds: Annotated[float, Field(gt=0)]


class Admission(Section):
    """The waiting room of one model server, over all classes, and how much of it each may hold.

    `expected_microseconds` is what a millisecond's work is believed to take, until measured.
    """

    waiting_requests: Positive
    expected_microseconds: Annotated[float, Field(gt=0)]
    maximum_retry_after_seconds: Positive
    classes: dict[Priority, PriorityClass]

    @field_validator("classes")
    @classmethod
    def _name_every_class(
        cls, classes: dict[Priority, PriorityClass]
    ) -> dict[Priority, PriorityClass]:
        if missing := [one for one in PRIORITIES if one not in classes]:
            raise ValueError(
                f"no {', '.join(missing)}; give share, planned_share and deadline_milliseconds"
            )
        return classes


class Batching(Section):
    """The most that one worker decides in one call; an urgent arrival may have to wait so long."""

    maximum_events: Positive
    maximum_milliseconds: Annotated[float, Field(gt=0)]


class StageGuards(Section):
    """When a stage beside the text is left out for a while, and how many threads it may hold.

    A call fails by an exception, or over its budget: `budget_multiple` of the stage's
    `cpu_milliseconds`, at least `minimum_budget_milliseconds`. Where `failures` of the last
    `window_calls` within `window_seconds` failed, the stage is left out for `open_seconds`; then
    `probes` calls in a row must succeed. Stages from `own_threads_from_milliseconds` on run in
    `threads` threads of their own and are left behind when their budget is used up.
    """

    budget_multiple: Annotated[float, Field(ge=1)]
    minimum_budget_milliseconds: Annotated[float, Field(gt=0)]
    own_threads_from_milliseconds: Annotated[float, Field(ge=0)]
    threads: Positive
    window_calls: Positive
    window_seconds: Seconds
    failures: Positive
    open_seconds: Seconds
    probes: Positive

    @field_validator("failures")
    @classmethod
    def _fit_the_window(cls, failures: int, info: ValidationInfo) -> int:
        calls = info.data.get("window_calls", failures)
        if failures > calls:
            raise ValueError(f"{failures} of the last {calls} calls never fail; lower it")
        return failures


class TransportSecurity(Section):
    """TLS of a model server, REST and gRPC: a certificate (with its chain) and its key, in PEM."""

    certificate: Path
    key: Path


class Serving(Section):
    """The data plane: the gateway, and one port a model-server slot above `first_slot_port`.

    Without a `media_pool` the one server of a slot answers everything. A stage that is expected to
    take more than `longest_stage_share` of a request's time runs after the answer, and revises it;
    at most `waiting_revisions` wait for that. Of all events `every_stage_share` run every stage.

    A model server also answers gRPC where `grpc_port` says so (0: any free one). With
    `authentication: tokens` it asks for one of the bearer tokens of `tokens_file`, or of
    WEIR_SERVING_TOKENS. Without, it only starts on loopback, unless it may be `insecure`.
    """

    host: str
    gateway_port: Port
    envoy_admin_port: Port
    first_slot_port: Port
    slots: Annotated[int, Field(ge=3, le=16)]
    model_name: str
    maximum_body_bytes: Positive
    maximum_batch: Positive
    inference_threads: Positive
    start_timeout_seconds: Seconds
    admission: Admission
    batching: Batching
    stage_guards: StageGuards
    longest_stage_share: Annotated[float, Field(gt=0)]
    every_stage_share: Share
    waiting_revisions: Positive
    gateway_heap_mib: Annotated[int, Field(ge=128)] = 512
    media_pool: MediaPool | None = None
    media_root: Path | None = None
    grpc_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    authentication: Literal["none", "tokens"] = "none"
    tokens_file: Path | None = None
    tls: TransportSecurity | None = None
    insecure: bool = False


class RolloutStep(Section):
    """One phase of a rollout: the canary's weight (percent), and what it must have seen."""

    phase: Literal["shadow", "canary"]
    weight: Annotated[int, Field(ge=0, le=100)]
    minimum_seconds: Annotated[float, Field(ge=0)]
    minimum_requests: Positive


class KServePool(Section):
    """The pods of one kind of content: an InferenceService in which a slot is a predictor.

    Each slot has `replicas` pods from the start, so that it can carry any weight. What else a pod
    is, is the manifest's: a slot is made like the predictor that stands there already.
    """

    inference_service: DnsLabel
    runtime: DnsLabel
    model_format: str
    replicas: Positive


class KServe(Section):
    """Where the target `kserve` writes, and where what the judge reads is found.

    Without a `text` pool the `media` pool answers everything. The gateway has `gateway_seconds` to
    take a route. `affinity_policy` is the EnvoyExtensionPolicy with the affinity key; without one,
    the same accounts are always the first to meet a new model. `requests_query` and `errors_query`
    are PromQL; `{pods}` stands for a pattern of the slot's pods. `access_log` (a file that the
    gateway's log agent writes) and `decisions` (a folder) lie on a volume shared with the
    controller; they default to where they are in `home`.
    """

    namespace: DnsLabel
    gateway: DnsLabel
    listener: str
    route: DnsLabel
    hostname: str | None = None
    pools: dict[Literal["text", "media"], KServePool]
    gateway_seconds: Seconds
    affinity_policy: DnsLabel | None = None
    prometheus_url: str
    requests_query: str
    errors_query: str
    access_log: Path | None = None
    decisions: Path | None = None

    @field_validator("pools")
    @classmethod
    def _have_media(
        cls, pools: dict[Literal["text", "media"], KServePool]
    ) -> dict[Literal["text", "media"], KServePool]:
        if "media" not in pools:
            raise ValueError("no media; without a text pool it is the one that answers everything")
        names = [pool.inference_service for pool in pools.values()]
        if len(set(names)) != len(names):
            raise ValueError(f"pools share an InferenceService: {names}; give each its own")
        return pools


class MetricBound(Section):
    """How much worse a canary may be, in one metric.

    It fails when it is surely worse by more than the tolerance, and passes when harm of the size
    of the margin is excluded. Without a margin it may fail but is not waited for.
    """

    tolerance: Annotated[float, Field(ge=0)]
    margin: float | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a step waits until the metric passes."""
        return self.margin is not None

    @model_validator(mode="after")
    def _margin_beyond_tolerance(self) -> Self:
        if self.margin is not None and self.margin < self.tolerance:
            raise ValueError(
                f"margin {self.margin} is below the tolerance {self.tolerance}: give at least it"
            )
        return self


class RatioBound(MetricBound):
    """The same for what is compared as a ratio: 1.2 is a fifth more."""

    tolerance: Annotated[float, Field(ge=1)]


class RolloutMetrics(Section):
    """What the judge compares; rates and shares as differences, latency and CPU as ratios.

    `guardrails`: rates that the business counts, by name.
    """

    errors: MetricBound
    latency_p50: RatioBound
    latency_p95: RatioBound
    latency_p99: RatioBound
    disagreement: MetricBound
    acted: MetricBound
    scores: MetricBound
    false_positives: MetricBound
    recall: MetricBound
    cpu_p50: RatioBound | None = None
    guardrails: dict[str, MetricBound] = {}


class Rollout(Section):
    """The steps, and the bounds that the judge holds the canary to.

    1 - `confidence` is the chance that a whole rollout of an equal model is stopped by chance.
    `require_quality`: shadow waits for labels. A slice with at least `minimum_slice_share` of the
    spam found is waited for as well; `maximum_slices` are judged. `target` is `local` (Envoy and
    processes of this machine) or `kserve` (a cluster).
    """

    target: Literal["local", "kserve"] = "local"
    kserve: KServe | None = Field(default=None, validate_default=True)
    steps: tuple[RolloutStep, ...]
    poll_seconds: Seconds
    progress_deadline_seconds: Seconds
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    metrics: RolloutMetrics
    require_quality: bool
    minimum_slice_share: Share
    maximum_slices: Positive

    @field_validator("kserve")
    @classmethod
    def _name_the_cluster(cls, kserve: KServe | None, info: ValidationInfo) -> KServe | None:
        if kserve is None and info.data.get("target") == "kserve":
            raise ValueError("rollout.target is kserve; give this section, as production.yaml does")
        return kserve

    @property
    def cluster(self) -> KServe | None:
        """Where the target is, if that is a cluster."""
        return self.kserve if self.target == "kserve" else None


class Anomalies(Section):
    """When a series of the hourly reports is abnormal, and which of them wake somebody.

    `detector` and `together` are names of `evaluation.monitoring.anomaly.UNIVARIATE` and
    `MULTIVARIATE`; a score above the threshold raises an alert, and what stays abnormal raises it
    again after `quiet_hours`. So does one hour whose forecast errs so far that over all series
    together the chance of it is below 10 to the power of -`sudden_threshold`. `groups` are series
    that are also watched together. `pages` are series, by path, whose alerts hint at a page on that
    side of what is expected: more people acted upon, fewer decisions; all others hint at a ticket,
    so that a burst of benign traffic wakes nobody. Decisions contradict each other in at most
    `maximum_contradicted_share` of the cases; a release within `release_hours` before an anomaly is
    a likely cause.
    """

    detector: str
    threshold: Annotated[float, Field(gt=0)]
    sudden_threshold: Annotated[float, Field(gt=0)]
    together: str
    together_threshold: Annotated[float, Field(gt=0)]
    groups: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]]
    quiet_hours: Annotated[float, Field(ge=0)]
    history_hours: Positive
    pages: dict[str, Literal["above", "below"]]
    release_hours: Annotated[float, Field(gt=0)]
    maximum_contradicted_share: Share


class Drift(Section):
    """A day is held against the `reference_days` before it, by histograms of `bins` bins a number
    and `most_categories` categories, fixed anew after `bins_kept_days`. A day that drifted counts
    among them after `drifted_days_wait`.

    A feature drifted at this `false_discovery_rate` where its Jensen-Shannon distance is at least
    `minimum_distance`, or at least `minimum_effect` of all verdicts are surely at stake, which also
    makes the alert a ticket; embeddings where a classifier's AUC is at least `minimum_auc`. People
    see `sample_rows` events a side; the classifier learns from `embedding_rows` a day. DuckDB is
    held to `memory_gib` and `threads`; `spark_master` None is this machine.
    """

    engine: Literal["duckdb", "spark"]
    spark_master: str | None = None
    memory_gib: Annotated[float, Field(gt=0)]
    threads: Positive
    reference_days: Annotated[int, Field(ge=2)]
    drifted_days_wait: Positive
    bins: Annotated[int, Field(ge=2)]
    most_categories: Positive
    bins_kept_days: Positive
    sample_rows: Positive
    embedding_rows: Positive
    false_discovery_rate: Annotated[float, Field(gt=0, lt=1)]
    minimum_distance: Share
    minimum_effect: Share
    minimum_auc: Annotated[float, Field(ge=0.5, lt=1)]


class Business(Section):
    """What the filter does to people and the platform, in the hourly report.

    Accounts that were wrongly acted on within the last `history_days` are compared with up to
    `comparisons` accounts like them: alike in the `matching_days` before the `baseline_days` before
    the action, which the `after_days` are held against. A loss of engagement that is surely above
    `maximum_engagement_loss`, or a share of views that are of spam surely above
    `maximum_spam_view_share`, raises an alert.
    """

    history_days: Positive
    matching_days: Positive
    baseline_days: Annotated[int, Field(ge=2)]
    after_days: Positive
    comparisons: Positive
    maximum_engagement_loss: Share
    maximum_spam_view_share: Share


class Monitoring(Section):
    """What the reports look at; `drift` holds a day of the lake against the days before it.

    The hourly report looks at `window_hours` of decisions and at the audit labels of the last
    `quality_days` days of the lake; a figure on fewer than `minimum_samples` is not shown as one.
    Precision and recall that are surely below `minimum_precision` and `minimum_recall`, on all
    traffic or in a slice, raise an alert.
    """

    maximum_drifted_share: Share
    window_hours: Annotated[float, Field(gt=0)]
    quality_days: Positive
    minimum_samples: Positive
    maximum_error_share: Share
    minimum_precision: Share
    minimum_recall: Share
    anomalies: Anomalies
    business: Business
    drift: Drift


class Smtp(Section):
    """A mail server; `user` None: no login, else with the secret WEIR_SMTP_PASSWORD."""

    host: str
    port: Port
    sender: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    starttls: bool = True
    user: str | None = None

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if self.user is not None and not self.starttls:
            raise ValueError("a login needs starttls: true, or its password travels in the clear")
        return self


class Incidents(Section):
    """Incident response. `playbooks` and `on_call` are files of tables.

    An alert is over when it was not raised for `quiet_seconds`. Alerts of one cause within
    `same_cause_seconds` are one incident. It is watched for `hold_seconds` before it is resolved,
    longer with every return, and reopened where an alert comes back within `reopen_seconds`.
    """

    playbooks: Path
    on_call: Path
    poll_seconds: Seconds
    quiet_seconds: Seconds
    same_cause_seconds: Seconds
    hold_seconds: Seconds
    reopen_seconds: Seconds
    smtp: Smtp | None = None


class Observability(Section):
    """What a model server says of itself: log lines on stderr, and traces by OpenTelemetry.

    `trace_share` of the requests is traced where `OTEL_TRACES_SAMPLER` is not set.
    """

    log_format: Literal["json", "text"]
    log_level: Literal["debug", "info", "warning", "error"]
    traces: bool
    trace_share: Share


class PlatformMetrics(Section):
    """`python -m serving metrics`: where, and how often the platform is looked at for Prometheus.

    It listens on `serving.host`.
    """

    port: Port
    refresh_seconds: Seconds


class AlertReceiver(Section):
    """`python -m serving alerts`: where Alertmanager reports to. It listens on `serving.host`."""

    port: Port


class StatusPage(Section):
    """`python -m serving status-page`: what is live, whether it is healthy, what needs people.

    It listens on `serving.host`. Its sources are read every `refresh_seconds`; what was not read
    for `stale_seconds` is unknown. A browser asks again after `reload_seconds`. An hourly report
    that ended more than `report_hours` ago is stale, and so are a lake and features without news
    for `data_hours`. `beside` are the parts of other makers that are looked at, too. `links` are
    addresses for browsers by name, where they are not those that Weir itself uses.
    """

    port: Port
    refresh_seconds: Seconds
    stale_seconds: Seconds
    reload_seconds: Positive
    report_hours: Annotated[float, Field(gt=0)]
    data_hours: Annotated[float, Field(gt=0)]
    beside: tuple[Literal["mlflow", "airflow"], ...]
    links: dict[str, Annotated[str, Field(pattern=r"^https?://[^/]+")]]

    @model_validator(mode="after")
    def _stale_after_several_reads(self) -> Self:
        if self.stale_seconds < 2 * self.refresh_seconds:
            raise ValueError(
                f"stale_seconds = {self.stale_seconds:g} calls every source stale that is read "
                f"every {self.refresh_seconds:g} s; give at least twice as many"
            )
        return self


class EvidentlyWorkspace(Section):
    """`python -m evaluation workspace`: Evidently's page, and how many runs a project keeps."""

    port: Port
    kept_runs: Positive


class Orchestration(Section):
    """When DAGs run (cron in UTC, a sixth field is seconds), and the Python that runs steps."""

    platform_python: Path
    schedules: dict[str, Annotated[str, Field(pattern=r"^(\S+ ){4,5}\S+$")]]
    retry_delay_seconds: Seconds


class Local(Section):
    """The services that `make up` starts on this machine."""

    airflow_port: Port
    mlflow_port: Port
    prometheus_port: Port
    alertmanager_port: Port
    minimum_free_disk_gib: Annotated[float, Field(gt=0)]
    minimum_memory_gib: Annotated[float, Field(gt=0)]


class Settings(Section):
    """The whole configuration. `home` holds everything Weir writes."""

    environment: str
    home: Path
    data: Data
    traffic: Traffic
    state: State
    labelling: Labelling
    ensemble: EnsembleSettings
    feature_store: FeatureStore
    review: Review
    training: Training
    gates: Gates
    registry: Registry
    approval: ApprovalReceiver
    appeals: Appeals
    serving: Serving
    rollout: Rollout
    monitoring: Monitoring
    incidents: Incidents
    observability: Observability
    platform_metrics: PlatformMetrics
    alert_receiver: AlertReceiver
    status_page: StatusPage
    evidently: EvidentlyWorkspace
    orchestration: Orchestration
    local: Local

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def media_root(self) -> Path:
        """Where media that events name by path lie."""
        return self.serving.media_root or self.home / "media"

    @property
    def state_url(self) -> str:
        return self.state.url.replace("{home}", str(self.home))


def load_settings(
    environ: Mapping[str, str] | None = None, folder: Path = CONFIG_FOLDER
) -> Settings:
    """Merge the layers and check them.

    `WEIR_ENV` names the environment (default `local`), `WEIR_HOME` the home (default `.weir`
    in the project). Raises ConfigurationError that names the key, its value and the remedy.
    """
    environ = os.environ if environ is None else environ
    name = environ.get("WEIR_ENV", "local")
    tree = _merged(_read(folder / "base.yaml"), _read_environment(folder, name))
    tree = _merged(tree, _from_environment(environ))
    tree["environment"] = name
    tree["home"] = environ.get("WEIR_HOME") or tree.get("home", ".weir")
    try:
        return _with_absolute_paths(Settings.model_validate(tree))
    except ValidationError as error:
        raise _configuration_error(error) from None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigurationError(f"{path} is missing; restore it from the repository")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} holds no sections; write `section: {{key: value}}`")
    return content


def _read_environment(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml") if p.stem != "base"))
        raise ConfigurationError(f"WEIR_ENV={name}: no {path.name} in {folder}; use one of {known}")
    return _read(path)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in sorted(environ.items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            *sections, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            branch = tree
            for section in sections:
                branch = branch.setdefault(section, {})
            branch[key] = _value(value)
    return tree


def _value(text: str) -> Any:
    """YAML, so that numbers and lists are typed; what is not YAML (a cron expression) is text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merged(below, value) if both and below is not None else value
    return merged


def _with_absolute_paths(settings: Settings) -> Settings:
    """Relative paths are relative to the project, wherever the command was started."""
    data = settings.data.model_copy(update={"root": _absolute(settings.data.root)})
    gates = settings.gates.model_copy(update={"policy": _absolute(settings.gates.policy)})
    ours = settings.incidents
    tables = {"playbooks": _absolute(ours.playbooks), "on_call": _absolute(ours.on_call)}
    incidents = ours.model_copy(update=tables)
    return settings.model_copy(
        update={
            "home": _absolute(settings.home),
            "data": data,
            "gates": gates,
            "incidents": incidents,
        }
    )


def _absolute(path: Path) -> Path:
    return path if path.is_absolute() else (PROJECT / path).resolve()


def _configuration_error(error: ValidationError) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    name = ENVIRONMENT_PREFIX + "__".join(str(part).upper() for part in first["loc"])
    return ConfigurationError(
        f"{key} = {first.get('input')!r}: {first['msg']}; mend it in infra/config or in {name}"
    )
