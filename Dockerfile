# One image for every part of Duetime: they differ in their command, which docker-compose.yml names.
FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM python:3.11-slim AS dependencies
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=/opt/duetime
COPY --from=uv /uv /usr/local/bin/
COPY requirements.lock /tmp/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv --python /usr/local/bin/python "$VIRTUAL_ENV" && uv pip sync --require-hashes /tmp/requirements.lock

FROM python:3.11-slim
# 999 is also who PostgreSQL is in its image: both read the password, and nobody else may.
RUN groupadd --gid 999 duetime \
    && useradd --uid 999 --gid duetime --create-home duetime \
    && install --directory --owner duetime --group duetime --mode 700 /secrets /worker-secrets /home/duetime/.prefect
ENV VIRTUAL_ENV=/opt/duetime PATH=/opt/duetime/bin:$PATH PYTHONUNBUFFERED=1
# The dependencies are a layer of their own, which a change of the sources leaves as it is.
COPY --from=dependencies /opt/duetime /opt/duetime
RUN --mount=from=uv,source=/uv,target=/usr/local/bin/uv --mount=target=/src --mount=type=cache,target=/root/.cache/uv \
    UV_LINK_MODE=copy uv pip install --no-deps --compile-bytecode /src
USER duetime
WORKDIR /home/duetime
COPY prefect.yaml .
CMD ["duetime", "--help"]
