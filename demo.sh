#!/bin/sh
# Run a demo on simulated gauges, with its own lake and Dagster home, apart from real data.
# `demo.sh` stores one day and shows it; `demo.sh ui` opens the Dagster UI on it. The Makefile calls this script.
set -eu
: "${DEMO:?}" "${PORT:?}" "${BIN:?}"
here=$(pwd)
mkdir -p "$DEMO/dagster"
cp dagster_home/dagster.yaml "$DEMO/dagster/"
export FLOOD_API_URL="http://127.0.0.1:$PORT/flood-monitoring" FLOOD_LAKE_URL="file://$here/$DEMO/lake"
export DAGSTER_HOME="$here/$DEMO/dagster"

"$BIN/flood-assets" simulate --port "$PORT" > "$DEMO/simulator.log" 2>&1 &
simulator=$!
trap 'kill "$simulator" 2>/dev/null || true' EXIT INT TERM
tries=0
until grep -q '^simulating' "$DEMO/simulator.log" 2>/dev/null; do
  tries=$((tries + 1))
  if ! kill -0 "$simulator" 2>/dev/null || [ "$tries" -gt 300 ]; then
    echo "The simulator did not start:" >&2
    cat "$DEMO/simulator.log" >&2
    echo "If port $PORT is in use, choose another one: make demo DEMO_PORT=8799" >&2
    exit 1
  fi
  sleep 0.2
done

if [ "${1:-}" = ui ]; then
  echo "Dagster: http://127.0.0.1:3000   simulated API: $FLOOD_API_URL   (Ctrl-C stops both)"
  "$BIN/dagster" dev --host 127.0.0.1
  exit
fi

rm -rf "$DEMO/lake"
"$BIN/flood-assets" refresh
"$BIN/flood-assets" status
cat <<T

Three things to try next:
  make ui-demo      the same in the Dagster UI, with a refresh every 15 minutes
  make ui           the Dagster UI with the real gauges
  $BIN/python -c 'from flood_assets.notebook import load_readings; print(load_readings(lake="$DEMO/lake", parameter="Tidal Level", joined=True))'
T
