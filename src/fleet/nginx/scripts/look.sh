# Tells what nginx on this host is. $1 is a folder to look for podlift's files in, or nothing.
if [ -z "$container" ]; then
  command -v "$program" >/dev/null 2>&1 || { echo absent; exit 0; }
else
  command -v docker >/dev/null 2>&1 || { echo dockerless; exit 0; }
  facts=$(engine inspect --type container --format '{{if .State.Running}}runs{{else}}rests{{end}}
network {{.HostConfig.NetworkMode}}{{range .NetworkSettings.Networks}} {{.IPAddress}} {{.Gateway}}{{end}}
{{range .Mounts}}{{printf "mount %s\t%s\n" .Destination .Source}}{{end}}{{range $path, $options := .HostConfig.Tmpfs}}{{printf "mount %s\t\n" $path}}{{end}}' "$container" 2>&1) || { echo "uncontained $facts"; exit 0; }
  case $facts in rests*) echo resting; exit 0 ;; esac
  printf '%s\n' "$facts"
  master=$(master)
  [ -z "$master" ] || echo "master $master"
fi
about=$(run_nginx -V 2>&1) || { echo absent; exit 0; }
echo "version $(printf '%s\n' "$about" | head -n 1)"
settings=$(printf '%s\n' "$about" | sed -n 's/^configure arguments: //p')
echo "settings $settings"
[ ! -e "/proc/${master:-self}/net/if_inet6" ] || echo ipv6
dump=$(run_nginx -T 2>/dev/null)
code=$?
[ -n "$container" ] || {
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
if [ -z "$container" ]; then
  printf '%s\n' "${1:-/etc/nginx/conf.d}" /etc/nginx/http.d
else
  # The folder is the host's, one of these or in one of these.
  printf '%s\n' "$facts" | cut -s -f 2 | while read -r source; do
    [ -n "$source" ] || continue
    for folder in "$source" "$source"/*; do [ ! -d "$folder" ] || echo "$folder"; done
  done
fi | while read -r folder; do
  for file in "$folder"/podlift-*.conf; do
    [ ! -f "$file" ] || echo "route $(head -n 1 "$file")"
  done
done
echo broken
run_nginx -t 2>&1
exit 0
