"""What is around an event: local time, place, trends, the platform, other posts, known media.

Imports `data_contracts`, the other packages of `pipelines.features`, near-duplicates and the
hash bank with its breaker.
"""
