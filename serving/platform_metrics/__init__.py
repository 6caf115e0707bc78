"""What Prometheus may know of the parts that answer no requests: lake, labels, rollout, DAGs.

A thread looks at them in turn; a scrape shows what it saw last. Imports `pipelines`, the rollout's
store and Airflow's client; nothing imports this but its verb.
"""
