# ImageBase in a container; compose.yaml starts it.
#   docker build --tag imagebase .
#   docker run --rm --init --publish 127.0.0.1:8501:8501 --env IMAGEBASE_MODE=team --volume imagebase:/data imagebase
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
# What opencv-python loads.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 imagebase \
 && install --directory --owner imagebase --group imagebase /data

# Training needs PyTorch: none, cpu, or a CUDA version as uv writes it, such as cu130.
ARG TRAINING=none
RUN if [ "$TRAINING" != none ]; then \
      python -m pip install --no-cache-dir uv \
      && python -m uv pip install --system --no-cache torch --torch-backend="$TRAINING"; \
    fi

# The libraries in a layer of their own: it is kept while the source changes.
COPY requirements.txt /tmp/
RUN python -m pip install --no-cache-dir --requirement /tmp/requirements.txt
ARG EXTRAS=postgres,s3
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir "$(echo /wheels/*.whl)[$EXTRAS]"

USER 10001
ENV IMAGEBASE_HOME=/data
WORKDIR /data
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/_stcore/health', timeout=5)"]
ENTRYPOINT ["imagebase"]
CMD ["serve", "--address", "0.0.0.0", "--headless"]
