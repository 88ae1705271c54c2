# Reads an access log by window. "mark LOG" prints where it ends: inode and size. "read LOG INODE SIZE" prints what was written
# since then: each request's status, upstreams, their statuses and times, equal lines counted, and a last line "end".
mode=$1 log=$2
if [ "$mode" = mark ]; then
  if [ -f "$log" ]; then stat -c '%i %s' "$log"; else echo '0 0'; fi
  exit 0
fi
inode=$3 size=$4
since() { tail -c "+$((size + 1))" "$1"; }
{
  if [ ! -f "$log" ]; then
    :
  elif [ "$(stat -c %i "$log")" = "$inode" ]; then
    # A log that has shrunk was emptied in its place.
    [ "$(stat -c %s "$log")" -ge "$size" ] || size=0
    since "$log"
  else
    if [ -f "$log.1" ] && [ "$(stat -c %i "$log.1")" = "$inode" ]; then since "$log.1"; fi
    cat "$log"
  fi
} | cut -f 2-5 | LC_ALL=C sort | uniq -c
echo end
