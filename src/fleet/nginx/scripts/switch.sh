# Puts a service's files in force (switch), only tests them (test), or takes them away (remove). Standard input is the new file;
# where a line "# podlift locations" stands in it, what follows is the file for the user's own server block. The first word of the
# output tells how it went.
mode=$1 base=$2 pidfile=$3 flag=$4 lock=$5 expected=$6 errors=$7
umask 022
main=$base.conf locations=$base.locations folder=${base%/*}
placed= kept=kept

nap() { sleep "$1" 2>/dev/null || sleep 1; }

# Takes the kept files back into their places.
back() {
  for file in "$main" "$locations"; do
    if [ -f "$file.$kept" ]; then mv -f "$file.$kept" "$file"; else rm -f "$file"; fi
  done
}

# From here on nginx may run with the new files: those that they replace are no longer what a killed script left behind.
keep() {
  kept=previous
  for file in "$main" "$locations"; do
    rm -f "$file.previous"
    [ ! -f "$file.kept" ] || mv -f "$file.kept" "$file.previous"
  done
}

leave() {
  [ -z "$placed" ] || back
  rm -f "$flag" "$main.new" "$locations.new" "$main.copy" "$locations.copy"
}

fail() {
  echo "$@"
  exit 0
}

workers() { children "$master"; }

# The connections that nginx has to the containers of podlift's services, one a line: one for each request in flight.
upstreams() { connections 's/^[[:space:]]*server [^;]*:\([0-9][0-9]*\) .*/\1/p' 3; }

# The connections that clients have to podlift's services, one a line; a thousand are enough to wait for.
clients() { connections 's/^[[:space:]]*listen \(\[::\]:\)*\([0-9][0-9]*\)[ ;].*/\2/p' 2 | head -n 1000; }

# The established connections, one a line, whose end in column $2 of the kernel's table (2 is here, 3 is there) has one of the
# ports that the sed program $1 finds in podlift's files.
connections() {
  ports=$(sed -n "$1" "$folder"/podlift-*.conf 2>/dev/null | sort -u | xargs -r printf '%04X ')
  cat "/proc/$master/net/tcp" "/proc/$master/net/tcp6" 2>/dev/null |
    awk -v ports="$ports" -v end="$2" 'BEGIN { split(ports, list, " "); for (n in list) wanted[list[n]] } { split($end, address, ":") } $4 == "01" && address[2] in wanted { print $2, $3 }'
}

# What nginx has written to its error log since the reload, which in a container is often its standard error. Standard output has
# the access log, and in it whatever clients write.
complaints() {
  [ ! -f "$errors" ] || tail -c "+$((size + 1))" "$errors"
  [ -z "$container" ] || engine logs --since "$begin" "$container" 2>&1 >/dev/null
}

exec 9>>"$lock" || fail error "the lock $lock cannot be opened"
tries=0
until flock -n 9; do
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || fail locked
  nap 0.2
done
trap leave EXIT
trap 'exit 1' HUP INT TERM PIPE

# A script that was killed on its way left its files behind; what it had kept is what nginx runs with.
[ ! -f "$main.kept" ] || back

found=0 token=
if [ -f "$main" ]; then
  found=$(sed -n '1s/^# podlift {.*"generation":\([0-9][0-9]*\).*/\1/p' "$main")
  token=$(sed -n '1s/^# podlift {.*"token":"\([^"]*\)".*/\1/p' "$main")
  [ -n "$found" ] || fail error "the first line of $main is not as podlift wrote it"
fi
[ "$found $token" = "$expected" ] || fail conflict "$found"
master=$(master "$pidfile") || fail error "Docker does not tell of the container $container"
[ -n "$master" ] || fail stopped

rm -f "$main.new" "$locations.new"
[ "$mode" = remove ] || cat >"$main.new" || fail error "$main.new cannot be written"
if grep -qs '^# podlift locations$' "$main.new"; then
  sed '1,/^# podlift locations$/d' "$main.new" >"$locations.new" || fail error "$locations.new cannot be written"
  sed '/^# podlift locations$/,$d' "$main.new" >"$main.cut" && mv -f "$main.cut" "$main.new" || fail error "$main.new cannot be written"
fi

# Clients whose connections are kept alive get an answer that ends them before the reload could close them under a request. All
# services share the flag, because a reload closes the connections of all.
if [ "$mode" != test ] && grep -qsF -- "${flag##*/}" "$folder"/podlift-*.conf "$folder"/podlift-*.locations; then
  : >"$flag" || fail error "the flag $flag cannot be made"
  # What nginx had read before looks at no flag any more: it has its connection to a container by now.
  nap 0.05
  early=$(upstreams)
  resting=$(clients)
  sleep 1
  # An answer to such a request keeps its connection alive; its client's next one, which sees the flag, is on its way for a
  # moment. A connection that rested all the while is closed by the reload, maybe under the very next request: its client gets
  # some more time to come.
  begin=$(date +%s) late=
  while waited=$(($(date +%s) - begin)) &&
    { { [ "$waited" -lt 5 ] && [ -n "$early" ] && [ -n "$(upstreams | grep -Fx "$early")" ]; } ||
      { [ "$waited" -lt 3 ] && [ -n "$resting" ] && [ -n "$(clients | grep -Fx "$resting")" ]; }; }; do
    late=yes
    nap 0.05
  done
  [ -z "$late" ] || nap 0.5
fi

# The main file comes last: where it is kept, all is, and each as a whole, whenever this is killed.
for file in "$locations" "$main"; do
  [ ! -f "$file" ] || { cp -p "$file" "$file.copy" && mv -f "$file.copy" "$file.kept"; } || fail error "$file.kept cannot be written"
done
placed=yes
if [ -f "$locations.new" ]; then mv -f "$locations.new" "$locations"; else rm -f "$locations"; fi
if [ "$mode" = remove ]; then rm -f "$main"; else mv -f "$main.new" "$main"; fi || fail error "$main cannot be written"
words=$(run_nginx -t 2>&1) || fail refused "$words"
[ "$mode" != test ] || fail tested

keep
old=$(workers)
size=0
[ ! -f "$errors" ] || size=$(wc -c <"$errors")
begin=$(date +%s)
words=$(run_nginx -s reload 2>&1) || fail refused "$words"

# nginx tells nobody whether it took the new configuration: new workers do, and that the old ones are leaving.
while :; do
  new= serving=
  for pid in $(workers); do
    title=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)
    case $title in
    *'worker process is shutting down'*) continue ;;
    *'worker process'*) ;;
    *) continue ;;
    esac
    case " $(echo $old) " in
    *" $pid "*) serving=$pid ;;
    *) new=$pid ;;
    esac
  done
  [ -z "$new" ] || placed=
  [ -z "$new" ] || [ -n "$serving" ] || break
  waited=$(($(date +%s) - begin)) words=
  # nginx tries for 2.5 s to listen before it gives up.
  [ "$waited" -lt 4 ] || words=$(complaints | emergencies)
  [ -n "$new" ] || [ -z "$words" ] || fail ignored "$words"
  if [ "$waited" -ge 30 ]; then
    [ -n "$new" ] || fail ignored
    fail lingering "$serving"
  fi
  nap 0.02
done
[ "$mode" != remove ] || rm -f "$main.previous" "$locations.previous"
echo done
