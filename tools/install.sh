#!/bin/sh
# Installs the package at its pinned versions: sh tools/install.sh VENV REQUIREMENT, for example .venv '.[test]'.
# TORCH_INDEX_URL names an index of torch wheels, such as one of CPU-only builds, which are a smaller download.
set -eu

venv=$1
requirement=$2

usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
# The tested version comes first, then newer ones, then whatever the machine calls Python.
candidates="${PYTHON:-python3.11 python3.12 python3.13 python3 python}"

find_python() {
    for candidate in $candidates; do
        if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$usable" >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    {
        echo "No usable Python was found among: $candidates."
        for candidate in $candidates; do
            command -v "$candidate" >/dev/null 2>&1 && echo "  $candidate is $("$candidate" --version 2>&1)"
        done
        echo "The workbench needs Python 3.11 or newer with pip and venv (on Debian: apt install python3-venv)."
        echo "Install one, or name one: make lab PYTHON=/path/to/python3.12"
    } >&2
    return 1
}

if [ -x "$venv/bin/python" ]; then
    if ! "$venv/bin/python" -c "$usable"; then
        echo "$venv holds $("$venv/bin/python" --version 2>&1 || true), which cannot be used: 3.11 or newer with venv is needed." >&2
        echo "Remove $venv, or choose another folder: make lab VENV=.venv-new" >&2
        exit 1
    fi
    python="$venv/bin/python"
else
    python=$(find_python)
fi

# Repeating this on an environment that an interruption left without pip completes it; a complete one is left alone.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "Creating $venv with $("$python" --version)"
    "$python" -m venv "$venv"
fi

# Only the two packages come from that index: it does not hold the pinned versions of what they depend on.
if [ -n "${TORCH_INDEX_URL:-}" ]; then
    echo "Installing torch and torchvision from $TORCH_INDEX_URL"
    "$venv/bin/python" -m pip install --no-deps --index-url "$TORCH_INDEX_URL" -c constraints.txt torch torchvision
fi

echo "Installing $requirement at the versions of constraints.txt (the first time takes minutes)"
"$venv/bin/python" -m pip install --disable-pip-version-check -c constraints.txt -e "$requirement"
