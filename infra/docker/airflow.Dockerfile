# syntax=docker/dockerfile:1.9
# Airflow and its DAGs, with the platform beside it in an environment of its own: a task starts a
# step as `.venv/bin/python -m <folder> <verb>` (infra/decisions/0001), and with KubernetesExecutor
# every task is a pod of this image.
#
#   docker build -f infra/docker/airflow.Dockerfile --build-arg PLATFORM_IMAGE=weir/platform:0.1.0 \
#     -t weir/airflow:0.1.0 .
#
# Pin both images by digest where images are built, as platform.Dockerfile says.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG PLATFORM_IMAGE=weir/platform:0.1.0

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/weir/.venv-airflow
WORKDIR /build
COPY dags/requirements.txt requirements.txt
COPY infra/constraints/airflow.txt constraints.txt
# what a cluster needs beside them, by Airflow's own extras: PostgreSQL, pods as tasks, users
RUN /opt/weir/.venv-airflow/bin/python -m pip install \
      --requirement requirements.txt --constraint constraints.txt \
    && /opt/weir/.venv-airflow/bin/python -m pip install \
      "apache-airflow[postgres,cncf-kubernetes,fab]==3.3.2" --constraint constraints.txt

FROM ${PLATFORM_IMAGE} AS runtime
USER 0:0
RUN apt-get update \
    && apt-get install --yes --no-install-recommends dumb-init \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /opt/airflow \
    && chown 10001:10001 /opt/airflow
COPY --from=builder /opt/weir/.venv-airflow /opt/weir/.venv-airflow
COPY dags /opt/weir/dags
ENV PATH=/opt/weir/.venv-airflow/bin:$PATH \
    PYTHONPATH=/opt/weir \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/weir/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
USER 10001:10001
WORKDIR /opt/weir
ENTRYPOINT ["/usr/bin/dumb-init", "--"]
CMD ["airflow", "version"]
