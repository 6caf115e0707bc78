"""Rollouts: phases as a table, a judge, durable state, and a controller that acts on a target.

May import data_contracts, pipelines and training; deciding (`phases`, `analysis`, `plan`) is
pure and knows nothing of Envoy or Kubernetes.
"""
