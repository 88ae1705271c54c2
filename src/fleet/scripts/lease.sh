# Leases of runs on this host: one file a project and service, by this host's clock. A change makes the file of the next
# generation with `ln`, which only one of several can do; the highest generation counts, and a lease that was given back stays
# as a file that says so. The folder belongs to the group of Docker's socket, so that root and every user who may use Docker
# share it; what a run has taken stays where it is, whatever becomes of the socket. The first word of the output tells how it went.
verb=$1 base=$2 socket=$3 place=$4 taken=$5 project=$6
shift 6
service=$1 run=$2 holder=$3 lasting=$4 owner=$5 purpose=$6 expected=$7 gone=${8:--}
LC_ALL=C
export LC_ALL
umask 007

fail() {
  echo "error $*"
  exit 0
}

nap() { sleep 0.1 2>/dev/null || sleep 1; }

is_number() {
  case $1 in '' | *[!0-9]*) return 1 ;; esac
}

# The number of the group that a file belongs to.
group_of() {
  set -- $(ls -lLnd "$1" 2>/dev/null)
  echo "${4:-$(id -g)}"
}

group=${taken:-$(group_of "$socket")}
folder=$base/podlift-$group

is_usable() { [ -d "$folder" ] && [ ! -L "$folder" ] && [ "$(group_of "$folder")" = "$group" ] && [ -w "$folder" ] && [ -x "$folder" ]; }

make_folder() {
  mkdir "$folder" 2>/dev/null
  tries=0
  until is_usable; do
    chgrp "$group" "$folder" 2>/dev/null && chmod 2770 "$folder" 2>/dev/null
    tries=$((tries + 1))
    [ "$tries" -lt 20 ] || fail "the folder $folder is not the group $group's, or cannot be written"
    is_usable || nap
  done
}

name=$folder/$project@$service@
new=$folder/.new@$$
trap 'rm -f "$new"' EXIT

# Finds the highest generation; 0 where there is none.
latest() {
  generation=0
  for file in "$name"*; do
    number=${file##*@}
    if is_number "$number" && [ "$number" -gt "$generation" ]; then generation=$number; fi
  done
}

# Reads the lease as it is now. It may be replaced while it is read: then there is a higher one.
load() {
  was_state=free was_run= was_holder= was_since= was_expires=0 was_session=
  reads=0
  while :; do
    latest
    [ "$generation" -gt 0 ] || return 0
    if lines=$(cat "$name$generation" 2>/dev/null); then break; fi
    reads=$((reads + 1))
    [ "$reads" -lt 20 ] || fail "$name$generation cannot be read"
  done
  while read -r key value; do
    case $key in
      state) was_state=$value ;;
      run) was_run=$value ;;
      holder) was_holder=$value ;;
      since) was_since=$value ;;
      expires) was_expires=$value ;;
      session) was_session=$value ;;
    esac
  done <<END
$lines
END
  is_number "$was_expires" || was_expires=0
}

# When a process began, in ticks since the boot; nothing where it is gone.
began() {
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  set -- ${stat##*) }
  [ "$1" != Z ] || return 1
  shift 19
  echo "$1"
}

parent() {
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  set -- ${stat##*) }
  echo "$2"
}

boot() { cat /proc/sys/kernel/random/boot_id 2>/dev/null; }

# The process through which this run reaches the host: the session's sshd, or podlift itself where it runs here.
session() {
  process=$PPID
  if [ "$place" != local ]; then
    while :; do
      case $(cat "/proc/$process/comm" 2>/dev/null) in sshd | sshd-session | dropbear) break ;; esac
      process=$(parent "$process") && [ "${process:-0}" -gt 1 ] || { echo -; return; }
    done
  fi
  echo "$process $(began "$process") $(boot)" || echo -
}

# Ends the session of whoever had the lease, so that nothing that it has on its way can arrive.
end_session() {
  set -- $was_session
  is_number "$1" && is_number "$2" && [ "$3" = "$(boot)" ] || return 0
  tries=0
  while [ "$(began "$1")" = "$2" ]; do
    kill -KILL "$1" 2>/dev/null
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || fail "the session of the run that had it (process $1) could not be ended: it is another user's"
    nap
  done
}

# Writes the next generation, in this state. Fails where another one was faster.
put() {
  next=$((generation + 1))
  now=$(date +%s)
  printf 'state %s\nrun %s\nholder %s\nsince %s\nexpires %s\nsession %s\nowner %s\npurpose %s\n' \
    "$1" "$2" "$3" "${4:-$now}" "$((now + $5))" "$6" "$owner" "$purpose" >"$new" || fail "$folder cannot be written"
  ln "$new" "$name$next" 2>/dev/null || return 1
  latest
  if [ "$generation" -ne "$next" ]; then
    rm -f "$name$next"
    return 1
  fi
  for file in "$name"*; do
    number=${file##*@}
    if is_number "$number" && [ "$number" -lt "$next" ]; then rm -f "$file"; fi
  done
}

show() {
  echo "generation $generation"
  cat "$name$generation" 2>/dev/null
}

is_mine() { [ "$was_state" = held ] && [ "$was_run" = "$run" ] && [ "$was_holder" = "$holder" ]; }

now=$(date +%s)
if [ "$verb" = list ]; then
  echo "listed $now"
  for file in "$folder/$project@"*; do
    number=${file##*@} service=${file%@*}
    is_number "$number" || continue
    echo "service ${service##*@}"
    echo "generation $number"
    cat "$file" 2>/dev/null
  done
  exit 0
fi

[ "$verb" != take ] || make_folder
tries=0
while [ "$tries" -lt 20 ]; do
  tries=$((tries + 1))
  load
  case $verb in
    take)
      if [ "$was_state" = free ]; then
        since=
      elif is_mine; then
        since=$was_since
      elif [ "$was_run" = "$run" ] && { [ "$was_state" = left ] || [ "$now" -ge "$was_expires" ] || [ "$was_holder" = "$gone" ]; }; then
        since=$was_since
        end_session
      else
        echo "held $now"
        show
        exit 0
      fi
      if put held "$run" "$holder" "$since" "$lasting" "$(session)"; then echo "taken $group"; exit 0; fi
      ;;
    renew)
      if ! is_mine; then
        echo "lost $now"
        show
        exit 0
      fi
      if put held "$run" "$holder" "$was_since" "$lasting" "$(session)"; then echo "taken $group"; exit 0; fi
      ;;
    free | left)
      if ! is_mine; then echo "lost $now"; exit 0; fi
      if put "$verb" "$run" "$holder" "$was_since" 0 -; then echo "done"; exit 0; fi
      ;;
    break)
      if [ "$generation" != "$expected" ]; then echo "changed"; exit 0; fi
      end_session
      if put free - - "" 0 -; then echo "done"; exit 0; fi
      ;;
  esac
done
fail "others change it again and again"
