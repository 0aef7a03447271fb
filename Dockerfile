# Headway as a sidecar: `make image`, or `docker build --tag headway .` with any builder, old or new.
#
# PYTHON_IMAGE is what the image stands on: it needs Python 3.11 or later and nothing else, not even a shell.
# BUILD_IMAGE makes the wheels: it needs the same Python at the same path, with `venv`, `pip`, its headers and gcc;
# where it has `strip`, the image gets 5 MB smaller. Tags move: pin `python:3.13-slim@sha256:…` for what you deploy.
#   slim         the defaults
#   distroless   PYTHON_IMAGE=<registry>/distroless/python3-debian12, and as BUILD_IMAGE a Debian 12 with
#                python3-venv, python3-dev and gcc
#   own          both from a mirror or a debootstrap of yours, see tests/containers/images.py
# Behind a package mirror: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_TRUSTED_HOST; its CA belongs into BUILD_IMAGE.
ARG PYTHON_IMAGE=python:3.13-slim
ARG BUILD_IMAGE=python:3.13

FROM ${BUILD_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
# `make lock` writes these two; a package that is not what it was then is refused.
RUN python3 -m venv /tools \
 && /tools/bin/pip install --require-hashes --requirement requirements-build.lock \
 && /tools/bin/pip wheel --require-hashes --requirement requirements.lock --wheel-dir /wheels
COPY pyproject.toml setup.py README.md LICENSE ./
COPY proxy proxy
RUN /tools/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
 && python3 -m venv --without-pip /headway \
 && /tools/bin/pip --python /headway/bin/python install --no-index --no-deps --no-compile /wheels/*.whl \
 && /tools/bin/pip --python /headway/bin/python check \
 && install -m 644 proxy/healthcheck.py /headway/ \
 && find /headway/bin -type f ! -name headway -delete \
 && { (cd / && /headway/bin/python -c 'import proxy.datapath.native._relay') \
      || { echo 'The native relay was not built: BUILD_IMAGE needs gcc and the headers of Python.'; exit 1; }; } \
 && if command -v strip; then find /headway -name '*.so' -exec strip --strip-unneeded {} +; fi

FROM ${PYTHON_IMAGE}
USER 0
COPY --from=build /headway /headway
# Without docstrings and asserts a sidecar takes 1.5 MiB less.
ENV PYTHONOPTIMIZE=2
# No installer stays. Headway and what it imports are compiled, the standard library included: on a read-only root
# every start would compile it again, and take twice as long; compiling all of it would cost 8 MB.
RUN ["/headway/bin/python", "-c", "\
import compileall, glob, os, shutil, sys; \
found = [each for what in ('ensurepip', '*-packages/pip', '*-packages/pip-*') \
    for each in glob.glob(f'{sys.base_prefix}/lib/python3*/{what}')]; \
[shutil.rmtree(each) for each in found]; \
[os.remove(each) for each in glob.glob(f'{sys.base_prefix}/bin/pip*')]; \
import proxy.app, proxy.cli, proxy.datapath.relay_native, proxy.demo, proxy.doctor; \
import rich.console, typer.rich_utils; \
compileall.compile_dir(proxy.__path__[0], quiet=1); \
proxy.cli.commands(['check', '--help'])"]

ENV PATH=/headway/bin:/usr/local/bin:/usr/bin:/bin PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1
# Any other uid does as well: nothing is written, and nothing belongs to anyone.
USER 65532:65532
EXPOSE 9902
# -I ignores PYTHONOPTIMIZE, so -OO says it again.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["python", "-OOIS", "/headway/healthcheck.py"]
ENTRYPOINT ["python", "-m", "proxy"]

ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Headway" \
      org.opencontainers.image.description="A sidecar TCP proxy: client-side load balancing over the pods of a headless Service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
