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
lock pyproject.toml requirements/build.in --extra dev --extra data \
  --extra sensitivity --extra track \
  -c requirements/run.txt -o requirements/test.txt
lock pyproject.toml requirements/build.in --extra docs --extra dev --extra data \
  --extra sensitivity --extra track \
  -c requirements/test.txt -o requirements/docs.txt

# vLLM's own set: for Linux on x86-64 and Python 3.11, not for all. The resolver must see torch's
# builds for the CPU (UV_EXTRA_INDEX_URL or UV_FIND_LINKS); the packages left out do not load there.
uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
  --generate-hashes --no-config --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "make lock" --upgrade \
  --no-emit-package torchvision --no-emit-package torchaudio \
  --no-emit-package torchcodec --no-emit-package triton \
  pyproject.toml requirements/build.in requirements/vllm.in --extra dev -o requirements/vllm.txt

# The learner of somebody else's in examples/.
lock pyproject.toml requirements/build.in requirements/examples.in \
  -c requirements/test.txt -o requirements/examples.txt
