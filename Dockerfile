# scbench with what it needs, for a CPU or for NVIDIA GPUs (docs/install.md):
#   docker build --target cpu --build-arg TORCH_INDEX=<address of PyTorch's CPU wheels> --tag scbench:cpu .
#   docker build --target gpu --tag scbench:gpu .
FROM python:3.11-slim-bookworm AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
# The kernels in C++ and those of Triton are compiled where they first run.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

FROM base AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE Snakefile ./
COPY workflow workflow
COPY conf conf
COPY profiles profiles
COPY envs envs
COPY src src
RUN pip wheel --no-deps --wheel-dir /wheel .

FROM base AS cpu
ARG TORCH_INDEX=""
COPY envs/core.txt /tmp/core.txt
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --requirement /tmp/core.txt
COPY --from=wheel /wheel /tmp/wheel
RUN pip install --no-deps /tmp/wheel/scbench-*.whl
# Weights, data and what is compiled: a volume, so that they are fetched and made once.
ENV HF_HOME=/cache/huggingface SCBENCH_CACHE=/cache/scbench TRITON_CACHE_DIR=/cache/triton
WORKDIR /work
ENTRYPOINT ["scbench"]
CMD ["--help"]

# CUDA comes with torch's wheels, the driver from the host (`docker run --gpus all`).
FROM base AS gpu
COPY envs/gpu.txt /tmp/gpu.txt
# flash-attn has no wheel and is built with the CUDA toolkit; no kernel of scbench's own engine needs it.
RUN sed -i '/^flash-attn==/d' /tmp/gpu.txt && pip install --requirement /tmp/gpu.txt
COPY --from=wheel /wheel /tmp/wheel
RUN pip install --no-deps /tmp/wheel/scbench-*.whl
ENV HF_HOME=/cache/huggingface SCBENCH_CACHE=/cache/scbench TRITON_CACHE_DIR=/cache/triton
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
ENTRYPOINT ["scbench"]
CMD ["--help"]
