"""The adversarial arm: where somebody may be getting around the filter.

Three signals, each a column that the day's pool carries: `flip_share`, the share of cheap changes
that keep the meaning but turn the verdict (D. Lowd and C. Meek, "Good Word Attacks on Statistical
Spam Filters", CEAS 2005, attack so); `doubt`, how much more a specialist suspects what the
prefilter let pass; `evasion_similarity`, the cosine to the nearest confirmed evasion (spam that
was allowed and labelled since). What is confirmed comes before what is suspected: a small budget
follows up an evasion first.
"""

from __future__ import annotations

from pipelines.labelling.samplers.interleaved import Interleaved
from pipelines.labelling.samplers.ranked import Ranked
from pipelines.labelling.samplers.wrappers import OneACampaign

FLIPS = OneACampaign(Ranked("flips", "flip_share"))
DOUBT = OneACampaign(Ranked("doubt", "doubt"))
EVASION_NEIGHBOURS = OneACampaign(Ranked("evasion_neighbours", "evasion_similarity"))
ADVERSARIAL = Interleaved("adversarial", (EVASION_NEIGHBOURS, FLIPS, DOUBT))
