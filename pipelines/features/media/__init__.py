"""Images and videos as users send them: untrusted bytes, read within bounds.

Decoding runs in a process of its own; imports `data_contracts` only.
"""
