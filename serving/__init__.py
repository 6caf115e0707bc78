"""Acts on live traffic: model servers, decision records, bulk scoring, the rollout.

May import evaluation, training, pipelines and data_contracts; nothing imports serving.
"""
