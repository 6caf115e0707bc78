"""Incident response as it is configured: its store, its seat, and everything that acts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache

from data_contracts.config import Settings
from data_contracts.errors import ServiceUnavailable
from data_contracts.secrets import (
    AIRFLOW_APPROVAL_PASSWORD,
    INCIDENT_WEBHOOK_SECRET,
    SMTP_PASSWORD,
    secret,
)
from pipelines import switches
from pipelines.state import open_state
from serving.approval.airflow import DagRuns
from serving.incidents.escalation import Channel, OnCall, load_on_call
from serving.incidents.mitigations import mitigations
from serving.incidents.notifications import Notifications
from serving.incidents.notifiers import Mail, Notifier, Webhook
from serving.incidents.playbooks import load_playbooks
from serving.incidents.responder import Patience, Responder
from serving.incidents.sample_now import DAG, Runs
from serving.incidents.store import Grouping, IncidentStore
from serving.rollout.leadership import Leadership
from serving.rollout.store import RolloutStore, utc_now
from serving.rollout.targets.local import data_plane


def open_incidents(settings: Settings) -> IncidentStore:
    """The incidents of the configured state database; makes missing tables."""
    engine = open_state(settings.state_url)
    store = IncidentStore(engine)
    store.prepare()
    switches.prepare(engine)
    leadership_of(store).prepare()
    return store


def responder_of(
    settings: Settings, store: IncidentStore, leadership: Leadership, say: Callable[[str], None]
) -> Responder:
    """Everything that acts, as configured. Raises ConfigurationError for tables that are wrong."""
    ours = settings.incidents
    playbooks, on_call = load_playbooks(ours.playbooks), load_on_call(ours.on_call)
    rollouts = RolloutStore(store.engine)
    rollouts.prepare()
    slots = tuple(data_plane(settings.serving, settings.home).slots)
    return Responder(
        store,
        leadership,
        playbooks,
        mitigations(
            store.engine,
            rollouts,
            slots,
            playbooks.mitigations,
            utc_now,
            _refusal_of(settings, rollouts),
            _sampling_of(settings),
        ),
        Patience(ours.quiet_seconds, ours.hold_seconds, ours.poll_seconds),
        Grouping(ours.same_cause_seconds, ours.reopen_seconds),
        _notifications(settings, store, leadership, on_call),
        say,
    )


def _sampling_of(settings: Settings) -> Runs:
    """Airflow's runs of the sampling, as the user who starts approved rollouts; signs in once."""

    @cache
    def runs() -> DagRuns:
        ours = settings.approval
        password = secret(AIRFLOW_APPROVAL_PASSWORD, settings.home)
        return DagRuns(ours.airflow_url, ours.airflow_user, password, DAG)

    return runs


def _refusal_of(settings: Settings, rollouts: RolloutStore) -> Callable[[str], str | None]:
    """Why a version may not come back, as the rollout controller has it: an approval that only ran
    out since is none. A registry that is down has not refused it.
    """

    def refusal(version: str) -> str | None:
        from training import promotion
        from training.registry import NotInRegistry

        try:
            approval = promotion.is_approved(version, settings)
        except NotInRegistry as error:
            return str(error)
        except ServiceUnavailable:
            return None
        ran_out = approval.expired and rollouts.was_done(version)
        return None if approval.approved or ran_out else approval.reason

    return refusal


def _notifications(
    settings: Settings, store: IncidentStore, leadership: Leadership, on_call: OnCall
) -> Notifications:
    def webhook(person: str) -> str | None:
        variable = on_call.people[person].webhook_variable
        return os.environ.get(variable) if variable else None

    webhooks = Webhook(webhook, lambda: secret(INCIDENT_WEBHOOK_SECRET, settings.home), utc_now)
    mail = Mail(
        settings.incidents.smtp,
        lambda person: on_call.people[person].email,
        lambda: secret(SMTP_PASSWORD, settings.home),
    )
    notifiers: Mapping[Channel, Notifier] = {"webhook": webhooks, "email": mail}
    return Notifications(store, on_call, notifiers, leadership.fence)


def leadership_of(store: IncidentStore) -> Leadership:
    return Leadership(store.engine, seat="incidents")
