# Tells what nginx on this host is: $1 its command, $2 a folder to look for podlift's files in, or nothing.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
nginx=$1
command -v "$nginx" >/dev/null 2>&1 || { echo absent; exit 0; }
echo "version $("$nginx" -v 2>&1)"
settings=$("$nginx" -V 2>&1 | sed -n 's/^configure arguments: //p')
echo "settings $settings"
[ ! -e /proc/net/if_inet6 ] || echo ipv6
dump=$("$nginx" -T 2>/dev/null)
code=$?
{
  printf '%s\n' "$dump" | sed -n 's/^[[:space:]]*pid[[:space:]][[:space:]]*"\{0,1\}\([^;"]*\).*/\1/p'
  printf '%s\n' "$settings" | tr ' ' '\n' | sed -n 's/^--pid-path=//p'
} | while read -r file; do
  pid=
  [ ! -r "$file" ] || read -r pid <"$file"
  case $pid in '' | *[!0-9]*) continue ;; esac
  case $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) in *nginx*) echo "running $file" ;; esac
done
if [ $code = 0 ]; then
  echo dump
  # Comments are left out: what a command prints is cut at 1 MB, and the last line shows that it was not.
  printf '%s\n' "$dump" | grep -E '^# (configuration file|podlift) |^[[:space:]]*[^#[:space:]]'
  echo '# podlift end'
  exit 0
fi
for file in "${2:-/etc/nginx/conf.d}"/podlift-*.conf /etc/nginx/http.d/podlift-*.conf; do
  [ ! -f "$file" ] || echo "route $(head -n 1 "$file")"
done
echo broken
"$nginx" -t 2>&1
exit 0
