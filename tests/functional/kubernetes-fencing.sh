#!/usr/bin/env bash
# A leading agent that is stopped between its read and its write is refused by Redis and by the API server
# after another one has led; kubernetes/fencing.py.
set -eu
. "$(dirname "$0")/lib.sh"
bed_begin kubefencing
bed_namespace gw
mkdir "$BED_DIR/run"
in_ns gw /usr/bin/python3 -B "$SOURCE/tests/functional/kubernetes/fencing.py" --build "$BUILD" --folder "$BED_DIR/run"
