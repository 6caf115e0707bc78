"""The online feature store: the newest features of an entity, read within microseconds.

May import `data_contracts` only.
"""
