"""Makes models: the ensemble and its inference, its search, its registry and its promotion.

May import `pipelines` and `data_contracts`; MLflow and Optuna have one door each.
"""
