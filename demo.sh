#!/bin/sh
# Run a demo on simulated gauges, with its own lake and Dagster home, apart from real data. The Makefile calls this script:
# `demo.sh` stores one day and shows it, `demo.sh ui` opens the Dagster UI on it, `demo.sh clean` removes it.
set -eu
: "${DEMO:?}" "${BIN:?}" "${PORT:=8765}" "${UI_PORT:=}" "${MAP_PORT:=}" "${PYTHON:=$BIN/python}"
mode=${1:-demo}
if [ "$mode" = ui ]; then target=ui-demo; else target=$mode; fi
case $DEMO in /*) root=$DEMO ;; *) root=$(pwd)/$DEMO ;; esac

stop() {  # say what happened and what to do, last of all
  echo "make $target: $1" >&2
  exit "${2:-2}"
}

# One demo at a time works in a folder. The kernel keeps this lock as long as a process has the file open, this script or
# Dagster, and not a moment longer.
mkdir -p "$DEMO/dagster"
exec 9>> "$DEMO/lock"
"$PYTHON" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2> /dev/null ||
  stop "a demo is running in $DEMO: end it with Ctrl-C, or use another folder with DEMO=.demo2 DEMO_PORT=8799"
if [ "$mode" = clean ]; then
  rm -rf "$DEMO"
  exit
fi

cp dagster_home/dagster.yaml "$DEMO/dagster/"
export FLOOD_API_URL="http://127.0.0.1:$PORT/flood-monitoring" FLOOD_LAKE_URL="$root/lake" DAGSTER_HOME="$root/dagster"

log=$DEMO/simulator.log
rm -f "$log"
"$BIN/flood-assets" simulate --port "$PORT" > "$log" 2>&1 9>&- &
simulator=$!
trap 'kill "$simulator" 2> /dev/null || true; wait "$simulator" 2> /dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tries=0
# Its own line, and not only the port: somebody else's server may be there.
until grep -q '^simulating' "$log" 2> /dev/null; do
  tries=$((tries + 1))
  if ! kill -0 "$simulator" 2> /dev/null || [ "$tries" -gt 600 ]; then
    cat "$log" >&2
    stop "the simulator did not start. If port $PORT is in use, choose another: make $target DEMO_PORT=8799"
  fi
  sleep 0.1
done

# A lake remembers its API, and the port is a part of that.
if [ "$mode" = demo ] || [ "$(cat "$DEMO/port" 2> /dev/null)" != "$PORT" ]; then
  rm -rf "$DEMO/lake"
fi
echo "$PORT" > "$DEMO/port"

free() {  # print the first free port from $1 on
  "$BIN/python" - "$1" << 'P'
import socket, sys
first = int(sys.argv[1])
for port in range(first, min(first + 100, 65536)):
    with socket.socket() as trial:
        if trial.connect_ex(("127.0.0.1", port)):
            print(port)
            break
P
}

if [ "$mode" = ui ]; then
  ui=$(free "${UI_PORT:-3000}")
  map=$(free "${MAP_PORT:-8000}")
  [ "$ui" = "${UI_PORT:-3000}" ] || echo "Port ${UI_PORT:-3000} is in use; UI_PORT=... chooses another than $ui."
  [ "$map" = "${MAP_PORT:-8000}" ] || echo "Port ${MAP_PORT:-8000} is in use; MAP_PORT=... chooses another than $map."
  "$BIN/flood-assets" serve --port "$map" > "$DEMO/server.log" 2>&1 9>&- &
  server=$!
  trap 'kill "$simulator" "$server" 2> /dev/null || true; wait "$simulator" "$server" 2> /dev/null || true' EXIT
  echo "Map: http://127.0.0.1:$map   Dagster: http://127.0.0.1:$ui   simulated API: $FLOOD_API_URL   (Ctrl-C stops all)"
  "$BIN/dagster" dev --host 127.0.0.1 --port "$ui"
  exit
fi

again="see above. \`make demo\` starts again; $log holds what the simulator said"
"$BIN/flood-assets" refresh || stop "failed to fill the lake, $again" 1
"$BIN/flood-assets" status || stop "the lake has a fault, $again" 1
port=
[ "$PORT" = 8765 ] || port=" DEMO_PORT=$PORT"
echo
echo "What to try next, the map first, at http://127.0.0.1:8000/:"
echo "  FLOOD_LAKE_URL=$DEMO/lake $BIN/flood-assets serve"
printf '  %-29s %s\n' \
  "make notebook" "a notebook with a chart of this lake, in JupyterLab" \
  "make ui-demo$port" "map and Dagster UI side by side, with a refresh every 15 minutes" \
  "make ui" "the Dagster UI with the real gauges"
cat << T

A gauge and a river with values, units, times and trends:
  FLOOD_LAKE_URL=$DEMO/lake $BIN/flood-assets show Kingston
  FLOOD_LAKE_URL=$DEMO/lake $BIN/flood-assets show "River Thames"
T
