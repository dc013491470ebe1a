# The service as one image: `web`, `worker` and `migrate` are commands of it. PostgreSQL stands outside (DATABASE_URL).
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/missedbeat && python -m venv tools
COPY requirements-build.txt requirements-container.txt ./
RUN tools/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements-build.txt
# oncalendar is published as source only, in pure Python; everything else is a wheel or an error, never a compilation.
RUN tools/bin/pip wheel --require-hashes --no-deps --no-build-isolation --only-binary :all: --no-binary oncalendar \
        --wheel-dir wheels -r requirements-container.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY migrations migrations
COPY docs docs
RUN tools/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir wheels . \
    && tools/bin/pip --python /opt/missedbeat/bin/python install --no-index --no-deps wheels/*.whl \
    && tools/bin/pip --python /opt/missedbeat/bin/python check \
    && /opt/missedbeat/bin/python -m compileall -q -j 0 /opt/missedbeat/lib

FROM python:${PYTHON}-slim
RUN groupadd --system --gid 10001 missedbeat \
    && useradd --system --uid 10001 --gid missedbeat --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin missedbeat
COPY --from=build /opt/missedbeat /opt/missedbeat
ENV PATH=/opt/missedbeat/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MISSEDBEAT_HOST=0.0.0.0 MISSEDBEAT_PORT=8000
USER 10001:10001
# It writes no file: `docker run --read-only` works.
WORKDIR /opt/missedbeat
EXPOSE 8000
STOPSIGNAL SIGTERM
# Of the web door. Alive, not ready: an engine may restart what is unhealthy, and that mends no database that is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$MISSEDBEAT_PORT/livez', timeout=4)"
ENTRYPOINT ["missedbeat-server"]
CMD ["web"]
