#!/usr/bin/env bash
# Random churn of a whole cluster, from the API server over agents, Redis and control to the dataplane,
# with everything on the way cut, killed, flushed and restored; kubernetes/churn.py.
# usage: kubernetes-churn.sh [ARGUMENT OF churn.py...]
set -eu
. "$(dirname "$0")/lib.sh"
bed_begin kubechurn
bed_namespace gw
mkdir "$BED_DIR/run"
in_ns gw /usr/bin/python3 -B "$SOURCE/tests/functional/kubernetes/churn.py" --build "$BUILD" --folder "$BED_DIR/run" \
  "$@"
