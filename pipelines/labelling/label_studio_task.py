"""What a reviewer sees in Label Studio: the project, its page, and a task on it.

The reviewer works by keyboard: `s` spam, `h` ham, `v` to view a covered text. The model's opinion
is shown beside the text and stored as a prediction, but nothing is chosen in advance: a
preselected answer would be accepted too often, and the audit must measure people, not the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from data_contracts.labels import LABEL_NAMES, LabelName
from pipelines.labelling.label_studio_client import KEY
from pipelines.labelling.queue import Task

CHOICE: Mapping[LabelName, str] = {name: name.capitalize() for name in LABEL_NAMES}
UNCERTAIN = 0.5  # the prediction is spam from here on
COVERED = "Sensitive content, covered until you ask for it"

# Covered unless the task says that it is plain: a style that fails hides a text, never shows one.
_STYLE = """
.weir { max-width: 46rem; margin: 0 auto; padding: .5rem 1rem 2rem; }
.weir :is(h1, h2, h3, h4, h5, h6):empty { display: none; }
.weir .weir-text { margin: .5rem 0 1rem; padding: .75rem 1rem; border-radius: .5rem;
  border: 1px solid var(--color-neutral-border, #8884); overflow-wrap: anywhere; }
.weir .weir-text .lsf-richtext__container { font-size: 1.125rem; line-height: 1.6; }
.weir .weir-text .lsf-object { filter: blur(.6rem); user-select: none; }
.weir:has(.weir-plain :is(h1, h2, h3, h4, h5, h6):not(:empty)) .weir-text .lsf-object,
.weir:has(.weir-covered input:checked) .weir-text .lsf-object { filter: none; user-select: auto; }
.weir:has(.weir-plain :is(h1, h2, h3, h4, h5, h6):not(:empty)) .weir-covered { display: none; }
.weir .weir-answer .lsf-choices { display: flex; gap: .75rem; }
.weir .weir-answer .lsf-choice { flex: 1; margin: 0; min-width: 0; }
.weir .weir-answer label { width: 100%; box-sizing: border-box; padding: .75rem 1rem; margin: 0;
  border: 1px solid var(--color-neutral-border, #8884); border-radius: .5rem;
  font-size: 1.0625rem; }
.weir .weir-answer label:has(input:checked) {
  outline: 2px solid var(--color-primary-border, #4a58c9); }
.weir sup { font-size: .85rem; top: 0; margin-left: .4rem; opacity: .7; }
.weir .weir-about { margin-top: 1.25rem; }
.weir .weir-about thead { display: none; }
.weir .weir-about td { padding: .4rem .75rem !important; overflow-wrap: anywhere; }
.weir .weir-about td:first-child { width: 9rem; opacity: .75; }
.lsf-sidepanels__wrapper { display: none; }
.lsf-sidepanels { padding: 0 !important; }
@media (max-width: 40rem) {
  .weir { padding: 0 .25rem 1rem; }
  .weir .weir-about td:first-child { width: 6.5rem; }
  .lsf-bottombar__group:first-child .lsf-bottombar__section:not(:first-child) { display: none; }
  .lsf-bottombar { justify-content: space-between; }
  .lsf-current-task__task-id, .lsf-current-task__task-count { display: none; }
  .lsf-editor { margin: 0 !important; width: 100%; min-width: 0; }
}
"""  # no `>`: Label Studio escapes it, and a rule with an escaped one is void
LABELLING = f"""<View className="weir">
  <Style>{_STYLE}</Style>
  <View className="weir-plain"><Header value="$plain" size="5"/></View>
  <View className="weir-covered">
    <Header value="$covered" size="5"/>
    <Choices name="view" toName="text" choice="multiple" showInline="true">
      <Choice value="View the text" hotkey="v"/>
    </Choices>
  </View>
  <View className="weir-text">
    <Text name="text" value="$text" valueType="text" selectionEnabled="false"/>
  </View>
  <View className="weir-answer">
    <Choices name="label" toName="text" choice="single-radio" showInline="true" required="true"
             requiredMessage="Press s for Spam or h for Ham, or skip the message">
      <Choice value="Spam" hotkey="s"/>
      <Choice value="Ham" hotkey="h"/>
    </Choices>
  </View>
  <View className="weir-about"><Table name="about" value="$about"/></View>
</View>"""
INSTRUCTION = (
    "<p><b>Spam</b> is unwanted in bulk, misleading, or after money or accounts. <b>Ham</b> is "
    "everything else, also what is only rude or dull. Answer for the message, not for the model: "
    "its score can be wrong, and its mistakes are what we look for. Unsure? Skip it.</p>"
    "<p>Keys: <b>s</b> spam, <b>h</b> ham, <b>Enter</b> submit, <b>Ctrl+Space</b> skip, "
    "<b>v</b> view a covered text.</p>"
)
PROJECT: Mapping[str, Any] = {
    "description": "What Weir samples for review. Weir makes the tasks and reads the answers.",
    "label_config": LABELLING,
    "expert_instruction": INSTRUCTION,
    "show_skip_button": True,
    "skip_queue": "REQUEUE_FOR_OTHERS",
    "enable_empty_annotation": False,
    "show_collab_predictions": False,  # nothing is chosen in advance
    "maximum_annotations": 1,  # a task that wants more is put back, see LabelStudio.offer
    "sampling": "Sequential sampling",
}
_TEXTS = ["tasks:data.text", "tasks:data.plain", "tasks:data.covered", "tasks:data.about"]
# The list of tasks would show texts as they are; people read them on the task's page only.
VIEW = {"title": "Tasks", "hiddenColumns": {"explore": _TEXTS, "labeling": _TEXTS}}


def task_key(day: str, event_id: str) -> str:
    """Weir's name of a task: the same after a crash, and after the queue is made anew."""
    return f"{day}/{event_id}"


def task_form(task: Task, event: Mapping[str, Any]) -> dict[str, Any]:
    """A task as Label Studio imports it. `event` is its row of the lake's events."""
    form: dict[str, Any] = {
        "data": {
            "text": event["text"],
            "plain": "" if task.sensitive else "Message",
            "covered": COVERED if task.sensitive else "",
            "about": _about(task, event),
        },
        "meta": {KEY: task_key(task.day, task.event_id), "task": task.id},
    }
    if task.score is not None:
        form["predictions"] = [_prediction(task, task.score)]
    return form


def label_of(result: Sequence[Mapping[str, Any]]) -> LabelName | None:
    """The label that an annotation chose; None where it chose none, or not exactly one.

    >>> label_of([{"from_name": "label", "value": {"choices": ["Ham"]}}])
    'ham'
    """
    chosen = [
        choice
        for region in result
        if region.get("from_name") == "label"
        for choice in region.get("value", {}).get("choices", ())
    ]
    names = [name for name in LABEL_NAMES if [CHOICE[name]] == chosen]
    return names[0] if names else None


def _about(task: Task, event: Mapping[str, Any]) -> dict[str, str]:
    at: datetime = event["occurred_at"]
    return {
        "Model's score": "none" if task.score is None else _score(task, task.score),
        "Model's reasons": ", ".join(r.replace("_", " ") for r in task.reasons) or "none",
        "Language": event["language"] or "not stated",
        "Sent": f"{at:%a %-d %b %Y, %H:%M} UTC",
    }


def _score(task: Task, score: float) -> str:
    version = f", version {task.model_version}" if task.model_version else ""
    return f"{score:.2f} of 1{version}"


def _prediction(task: Task, score: float) -> dict[str, Any]:
    label: LabelName = "spam" if score >= UNCERTAIN else "ham"
    return {
        "model_version": task.model_version or "unknown",
        "score": score,
        "result": [
            {
                "from_name": "label",
                "to_name": "text",
                "type": "choices",
                "value": {"choices": [CHOICE[label]]},
            }
        ],
    }
