#!/bin/sh
# Sets up the virtual environment: system GDAL, the locked Python packages, GDAL's bindings of the system's version, imperv.
# Debian and Ubuntu get what is missing through apt; elsewhere it says what to install and stops.
set -eu

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
UV_VERSION_RANGE="uv>=0.8,<1"

say() { printf 'setup: %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v "$PYTHON" >/dev/null 2>&1 || stop "$PYTHON is not there: install Python 3.11 or newer, or say which with PYTHON=..."
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || stop "$("$PYTHON" --version) is too old: install Python 3.11 or newer, or say which with PYTHON=..."

# What is missing of the system: GDAL with headers, a compiler and Python's headers for its bindings, venv.
missing=""
command -v gdal-config >/dev/null 2>&1 || missing="$missing libgdal-dev"
command -v c++ >/dev/null 2>&1 || missing="$missing g++"
"$PYTHON" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
    || missing="$missing python3-dev"
"$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"

if [ -n "$missing" ]; then
    if command -v apt-get >/dev/null 2>&1; then
        root=""
        if [ "$(id -u)" != 0 ]; then
            command -v sudo >/dev/null 2>&1 || stop "as root, run: apt-get install$missing"
            root="sudo"
        fi
        say "installing$missing"
        export DEBIAN_FRONTEND=noninteractive
        $root apt-get update -qq || say "apt-get update failed, going on with the package lists that are there"
        # shellcheck disable=SC2086
        $root apt-get install -y -qq --no-install-recommends $missing >/dev/null || stop "apt-get could not install:$missing"
    else
        stop "install these first (Debian's names):$missing. Fedora: gdal-devel gcc-c++ python3-devel; macOS: brew install gdal; conda: libgdal"
    fi
fi

[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
[ -x "$VENV/bin/uv" ] || "$VENV/bin/python" -m pip install --quiet "$UV_VERSION_RANGE"

export VIRTUAL_ENV="$PWD/$VENV"
# Once here instead of in every process, where nothing can be written beside the packages.
export UV_COMPILE_BYTECODE=1
say "installing Python packages"
"$VENV/bin/uv" pip install --quiet --requirement requirements.lock
# The bindings are compiled against the system's library and must be of its version; NumPy has to be there already.
gdal=$(gdal-config --version)
"$VENV/bin/python" -c "import sys; from osgeo import gdal, gdal_array; sys.exit(gdal.__version__ != '$gdal')" >/dev/null 2>&1 || {
    say "building GDAL's Python bindings $gdal"
    "$VENV/bin/uv" pip install --quiet --no-build-isolation --no-cache "gdal[numpy]==$gdal"
}
"$VENV/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable .
say "ready"
