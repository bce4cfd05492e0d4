# The chart's image: kopf, kopf-leader and its metrics. As a base for yours:
#
#   FROM <this image>
#   RUN /venv/bin/pip install --no-cache-dir <what your operator needs>     (as root; then USER 65532:65532 again)
#   COPY handlers.py /app/
#
# Nothing is installed when a container starts: the root file system may be read-only.

ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY kopf_leader kopf_leader
RUN /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt '.[metrics]' \
    && /venv/bin/python -m compileall -q /venv/lib

FROM python:${PYTHON}-slim
COPY --from=build /venv /venv
# kopf asks for the user's name, which this uid has not.
ENV PATH=/venv/bin:${PATH} USER=operator HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["kopf-leader"]
CMD ["run", "--help"]
