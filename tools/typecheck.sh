#!/bin/sh
# Static types of the package as it is installed: `kit` with host/ as `kit.host`, which a checkout keeps apart.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
tree=build/types
rm -rf "$tree"
mkdir -p "$tree/kit"
for item in kit/*; do
    ln -s "../../../$item" "$tree/kit/${item#kit/}"
done
ln -s ../../../host "$tree/kit/host"
MYPYPATH=$tree exec "$python" -m mypy --config-file pyproject.toml --explicit-package-bases "$@"
