# Triton without a GPU: the server of the nvidia-pytriton wheel and our ONNX backend, as scripts/serve runs them: far smaller than
# NVIDIA's image, and the very server that the tests run. From the repository's top folder:
#   docker build -f docker/triton/cpu.Dockerfile -t vultus-triton:0.1.0-cpu .
# As in docker/gateway/Dockerfile.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm@sha256:86adf8dbadc3d6e82ee5dd2c74bec2e1c2467cdad47886280501df722372d2e1

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
RUN python -m venv /opt/vultus
COPY docker/triton/requirements.txt ./
RUN /opt/vultus/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements.txt
COPY scripts/__init__.py /opt/app/scripts/__init__.py
COPY scripts/embedded_triton /opt/app/scripts/embedded_triton
# Laid out here, because a container's /tmp may be mounted without the right to run programs.
RUN PYTHONPATH=/opt/app VULTUS_TRITON_LAYOUT=/opt/triton /opt/vultus/bin/python -m scripts.embedded_triton true

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Vultus Triton (CPU)" \
      org.opencontainers.image.description="Triton Inference Server with the models of Vultus" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/vultus /opt/vultus
COPY --from=build /opt/app /opt/app
COPY --from=build /opt/triton /opt/triton
COPY docker/triton/start /usr/local/bin/vultus-triton
# Says, and ends the container, when a model does not work while Triton's health calls say ready.
COPY scripts/embedded_triton/alive.py /usr/local/bin/vultus-triton-alive
# Baked in; mount another folder over /models to serve other weights.
COPY model_repository /models
ENV PATH=/opt/vultus/bin:$PATH \
    PYTHONPATH=/opt/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TRITON_MODELS=/models \
    VULTUS_DEVICE=cpu \
    VULTUS_TRITON_LAYOUT=/opt/triton
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=60s --start-period=120s --retries=3 \
    CMD ["vultus-triton-alive", "--end", "http://127.0.0.1:8002/metrics"]
ENTRYPOINT ["python", "-m", "scripts.embedded_triton", "vultus-triton"]
# Options of tritonserver. The profile is each model's config.pbtxt.
CMD ["--allow-gpu-metrics=false"]
