FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/agentos
# .dockerignore lets in only what the wheel is made of.
COPY . .
RUN /opt/agentos/bin/pip install --no-cache-dir --constraint constraints.txt pip \
    && /opt/agentos/bin/pip install --no-cache-dir \
        --constraint constraints.txt --build-constraint constraints.txt .

FROM python:3.12-slim
# git: workers change code in clones. tini: reaps what a worker's shell leaves behind.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes git tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home agentos \
    && install --directory --owner=agentos --group=agentos --mode=0700 /data
COPY --from=build /opt/agentos /opt/agentos
ENV PATH=/opt/agentos/bin:$PATH \
    AGENTOS_HOME=/data \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /data
VOLUME /data
# With the daemon up, pm asks it; one that hangs does not answer in time.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["pm", "job", "list", "--limit", "1"]
ENTRYPOINT ["tini", "--", "agentos"]
CMD ["up"]
