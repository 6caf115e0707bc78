"""What Weir runs on: configuration, containers, manifests, dashboards and the local stack.

The local stack starts and stops processes and speaks to them by command line and HTTP; it
imports `data_contracts` only.
"""
