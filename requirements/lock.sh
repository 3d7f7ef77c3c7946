#!/usr/bin/env bash
# Write the hashed requirement files: for every platform, and for every supported Python.
# The larger sets are constrained by the smaller, so they never change what a run uses.
set -euo pipefail
cd "$(dirname "$0")/.."

lock() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-config \
    --no-emit-index-url --custom-compile-command "make lock" --upgrade "$@"
}

lock pyproject.toml requirements/build.in -o requirements/run.txt
lock pyproject.toml requirements/build.in --extra dev --extra view \
  -c requirements/run.txt -o requirements/test.txt
lock pyproject.toml requirements/build.in --extra docs --extra dev --extra view \
  -c requirements/test.txt -o requirements/docs.txt
