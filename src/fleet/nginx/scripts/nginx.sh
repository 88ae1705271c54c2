# What the scripts for nginx begin with: $1 is nginx's command, $2 the container that it runs in or nothing, $3 Docker's socket.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
program=$1 container=$2 socket=$3
shift 3

engine() { docker --host "unix://$socket" "$@"; }

run_nginx() { if [ -n "$container" ]; then engine exec "$container" "$program" "$@"; else "$program" "$@"; fi; }

# The master process, by its number on the host, or nothing: that of the container, or that of the pid file $1. It fails where
# Docker does not tell, as while the engine starts again: that is not known to be nothing.
master() {
  pid=
  if [ -z "$container" ]; then
    [ ! -r "$1" ] || read -r pid <"$1"
    case $pid in '' | *[!0-9]*) pid= ;; esac
    [ ! -d "/proc/$pid" ] || echo "$pid"
    return
  fi
  init=$(engine inspect --type container --format '{{.State.Pid}}' "$container" 2>/dev/null) || {
    case $(engine inspect --type container "$container" 2>&1) in *[Nn]'o such'*) return 0 ;; esac
    return 1
  }
  # An init process of the container's own, or a script, may be between.
  for parent in "$init" $(children "$init"); do
    for pid in "$parent" $(children "$parent"); do
      case $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") in *'nginx: master'*) echo "$pid"; return ;; esac
    done
  done
}

children() {
  case $1 in '' | 0) return ;; esac
  grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | sed 's|/proc/\([0-9]*\)/status|\1|'
}

# Why nginx did not take a configuration, by the lines of its error log: those that nginx itself began, with date, time and process.
emergencies() {
  grep -E '^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \[emerg\] [0-9]+#[0-9]+: ' | sed 's/^[^[]*//' | sort -u
}
