# syntax=docker/dockerfile:1.9
# The platform: every verb of `python -m <folder>`. From the project's folder:
#
#   docker build -f infra/docker/platform.Dockerfile -t weir/platform:0.1.0 .
#
# PYTHON_IMAGE is pinned by its whole version here; pin it by digest where images are built:
#   docker buildx imagetools inspect python:3.11.14-slim-bookworm
#   --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:…
# TORCH_INDEX is PyTorch's CPU index: without it pip takes the build with CUDA.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/weir/.venv
WORKDIR /build
COPY requirements.txt ./
COPY infra/constraints/platform.txt infra/constraints/platform.txt
# torch first and by itself: a later resolution must not swap in another build. What only tests and
# lint need stays out of the image.
RUN set -eu; \
    torch="$(grep '^torch==' requirements.txt)"; \
    sed '/^# tests and lint/,$d' requirements.txt > runtime.txt; \
    PIP_INDEX_URL="${TORCH_INDEX}" /opt/weir/.venv/bin/python -m pip install "${torch}"; \
    /opt/weir/.venv/bin/python -m pip install \
      --requirement runtime.txt --constraint infra/constraints/platform.txt

FROM ${PYTHON_IMAGE} AS runtime
# what verbs look for: OCR's data, and Java for tables that outgrow one machine
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless tesseract-ocr wordnet-base \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 weir \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin weir \
    && mkdir -p /var/weir \
    && chown 10001:10001 /var/weir
COPY --from=builder /opt/weir/.venv /opt/weir/.venv
WORKDIR /opt/weir
COPY data_contracts data_contracts
COPY pipelines pipelines
COPY training training
COPY evaluation evaluation
COPY serving serving
COPY infra/__init__.py infra/__init__.py
COPY infra/config infra/config
COPY infra/kubeflow infra/kubeflow
ENV PATH=/opt/weir/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    WEIR_ASSET_CACHE=/opt/weir/assets \
    WEIR_HOME=/var/weir \
    WEIR_ENV=production
# At run time the root is read-only and nothing is fetched: model assets are obtained now, each
# checked against the sha256 of data_contracts/catalogue.yaml. Kernels are compiled at every start
# (about 20 CPU-seconds), for the processor that is there: numba uses no cache that it cannot write.
RUN python -c "from data_contracts.config import load_settings as load; \
from data_contracts.catalogue import load_catalogue; \
from pipelines.assets import asset_file; \
settings = load(); \
[asset_file(name, settings.data, settings.cache) for name in load_catalogue().assets]" \
    && chmod -R a+rX /opt/weir
USER 10001:10001
CMD ["python", "-m", "serving", "--help"]
