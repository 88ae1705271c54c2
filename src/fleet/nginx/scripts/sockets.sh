# Waits until no connection to a port is open inside these processes' network namespaces: $1 how long in hundredths of a second, $2 the
# port in hexadecimal, then the processes. Prints "idle", or "busy" with the number of connections.
patience=$1 port=$2
shift 2
# The kernel's uptime has hundredths of a second, which not every `date` has.
now() { read -r up rest </proc/uptime && echo "${up%.*}${up#*.}"; }
end=$(($(now) + patience))
while :; do
  open=0
  for pid in "$@"; do
    count=$(cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null |
      awk -v port="$port" '{ split($2, here, ":") } here[2] == port && ($4 == "01" || $4 == "03" || $4 == "08" || $4 == "09") { count++ } END { print count + 0 }')
    open=$((open + count))
  done
  [ "$open" -gt 0 ] || { echo idle; exit 0; }
  [ "$(now)" -lt "$end" ] || { echo "busy $open"; exit 0; }
  sleep 0.02 2>/dev/null || sleep 1
done
