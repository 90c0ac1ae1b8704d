# An image with platefuse, Snakemake and the exact versions of requirements.lock.
# docs/container.md tells how to build and use it, with Docker and with Apptainer.
FROM python:3.11-slim AS build
# Another package index, which pip reads from here; it is not in the image that is made.
ARG PIP_INDEX_URL
WORKDIR /src
RUN python -m venv /opt/platefuse
COPY requirements.lock ./
# First what builds: one package has no wheel, and an isolated build would get its tools unchecked.
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock > build.lock \
    && /opt/platefuse/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --no-compile --no-deps --require-hashes --requirement build.lock
RUN /opt/platefuse/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --use-pep517 --no-build-isolation --no-compile --no-deps --require-hashes \
    --requirement requirements.lock
COPY LICENSE MANIFEST.in README.md Snakefile environment.yml pyproject.toml setup.py ./
COPY platefuse platefuse
COPY profiles profiles
COPY scripts scripts
COPY workflow workflow
# setuptools is in the lock, so nothing is downloaded here.
RUN /opt/platefuse/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --no-index --no-build-isolation --no-compile --no-deps .
# The folder cannot be written to later. Test suites are left out, one file that is no Python may be.
RUN /opt/platefuse/bin/python -m compileall -qq -j 0 -x '/tests?/' /opt/platefuse/lib || true

FROM python:3.11-slim
COPY --from=build /opt/platefuse /opt/platefuse
# Snakemake keeps a cache in the home folder, which has to exist for any user (docker run --user).
ENV PATH=/opt/platefuse/bin:$PATH HOME=/tmp
# The folder of work is the user's, also when it is a new volume.
RUN useradd --no-create-home platefuse && install --directory --owner=platefuse /data
USER platefuse
WORKDIR /data
# `docker stop` sends what Ctrl-C sends: the first process of a container ignores SIGTERM by default.
STOPSIGNAL SIGINT
ENTRYPOINT ["platefuse"]
CMD ["--help"]
