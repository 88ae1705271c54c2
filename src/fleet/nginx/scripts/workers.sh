# Waits until no leaving worker of nginx can still send a request to these ports: $1 how long in hundredths of a second, $2 the pid
# file, then the ports in hexadecimal. Prints "idle", or "busy" with the number of connections to the ports.
patience=$1 pidfile=$2
shift 2
# The kernel's uptime has hundredths of a second, which not every `date` has.
now() { read -r up rest </proc/uptime && echo "${up%.*}${up#*.}"; }
end=$(($(now) + patience))
until master=$(master "$pidfile"); do
  [ "$(now)" -lt "$end" ] || { echo 'busy 0'; exit 0; }
  sleep 0.1 2>/dev/null || sleep 1
done
[ -n "$master" ] || { echo idle; exit 0; }

# A leaving worker that stays is harmless if each of its clients has its connection to an upstream, none of them to these ports:
# a websocket of another service. A client without one may be sending a request that has yet to go anywhere.
harmless() {
  sockets=$(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p' | tr '\n' ' ')
  [ -d "/proc/$1" ] || return 0
  [ -n "$sockets" ] || return 1
  counts=$(cat "/proc/$1/net/tcp" "/proc/$1/net/tcp6" 2>/dev/null | awk -v sockets="$sockets" -v ports="$ports" '
    BEGIN {
      n = split(sockets, list, " "); for (i = 1; i <= n; i++) own[list[i]] = 1
      n = split(ports, list, " "); for (i = 1; i <= n; i++) port[list[i]] = 1
    }
    $4 == "0A" { split($2, here, ":"); listening[here[2]] = 1; next }
    ($10 in own) { split($2, here, ":"); split($3, there, ":"); ours += (there[2] in port); local[++count] = here[2] }
    END {
      for (i = 1; i <= count; i++) if (local[i] in listening) clients++; else upstreams++
      print ours + 0, (ours == 0 && clients + 0 <= upstreams + 0) ? "harmless" : "busy"
    }')
  [ -d "/proc/$1" ] || return 0
  connections=$((connections + ${counts% *}))
  [ "${counts#* }" = harmless ]
}

ports=$*
while :; do
  busy= connections=0
  for pid in $(children "$master"); do
    case $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) in
    *'worker process is shutting down'*) harmless "$pid" || busy=yes ;;
    esac
  done
  [ -n "$busy" ] || { echo idle; exit 0; }
  [ "$(now)" -lt "$end" ] || { echo "busy $connections"; exit 0; }
  sleep 0.02 2>/dev/null || sleep 1
done
