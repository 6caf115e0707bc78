"""Features of events by kind of content; serving, gates and training call the same extractors.

May import `data_contracts` only.
"""
