# Sourced by `demo` and `soak`: hosts on this machine, and load on them from 40 ms away. Everything is removed at the end,
# also when the script is interrupted.

# shellcheck shell=bash
files=$(mktemp -d)
client=
rig=
clean_up() {
  trap - EXIT INT TERM HUP
  touch "$files/stop"
  [ -z "$client" ] || wait "$client" 2>/dev/null || true
  [ -z "$rig" ] || RIG_ID=$rig tests/rig/rig down
  rm -rf "$files"
}
trap clean_up EXIT
# Without a trap of their own, bash would leave at once and skip the one above.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Builds podlift and the load client, and makes $1 hosts. Sets `podlift`, `load` and `addresses`.
make_hosts() {
  scripts/install-test-tools
  echo "building podlift and the load client …" >&2
  cargo build --locked --quiet --release --package podlift --package podlift-load
  local target=${CARGO_TARGET_DIR:-target}/release
  podlift=$(readlink -f "$target/podlift")
  load=$(readlink -f "$target/podlift-load")
  echo "making $1 hosts …" >&2
  local state
  state=$(RIG_ID=auto RIG_OWNER=$$ RIG_CLIENT=1 RIG_LOAD=$load tests/rig/rig up "$1")
  rig=${state##*/rg}
  export RIG_ID=$rig PODLIFT_SSH_CONFIG=$state/ssh_config
  mapfile -t addresses < <(cut -d' ' -f2 "$state/hosts")
}

# Sends requests to the targets $2… for at most $1 seconds, until `finish_load`.
start_load() {
  local seconds=$1
  shift
  : >"$files/marks"
  tests/rig/rig client "$load" client "$@" --table --seconds "$seconds" --requests 10000000 \
    --stop "$files/stop" --marks "$files/marks" --progress "$files/progress" >"$files/summary" &
  client=$!
}

# Begins a line of the table.
mark() { echo "$(date +%s%6N) $1" >>"$files/marks"; }

# Waits until $1 more requests have ended.
more_requests() {
  local goal=$(($(requests) + $1))
  until [ "$(requests)" -ge "$goal" ]; do
    kill -0 "$client" 2>/dev/null || { echo "$0: the load client has ended by itself" >&2; exit 1; }
    sleep 0.1
  done
}
requests() { cat "$files/progress" 2>/dev/null || echo 0; }

# Stops sending and prints what the clients saw.
finish_load() {
  touch "$files/stop"
  wait "$client"
  client=
  echo
  cat "$files/summary"
}
