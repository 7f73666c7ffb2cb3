#!/usr/bin/env bash
# Runs the image's files as a runtime without privileges would: namespaces of a user who is
# nobody, the root read-only, /tmp in memory, the server as process 1. Asks it, reads what
# it may not do, and ends it by SIGTERM.
#   try.sh ROOT DETECTOR    a folder that 'image -root' has written, and a detector's
set -euo pipefail
root=$(realpath "$1") detector=$(realpath "$2")
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 10000))
chmod 711 "$work"
cp -r "$root" "$work/root"
mkdir "$work/root/proc" "$work/root/dev" # as runtimes do
cp -r "$detector" "$work/detector"
chmod -R a+rX "$work/detector" "$work/root"

cat > "$work/inside" <<'INSIDE'
set -eu
cd "$1"
mount --make-rprivate /
mount --bind root root
mount --bind detector root/mnt/models
mount -o remount,bind,ro root/mnt/models
mount -t tmpfs -o size=256m,mode=1777 tmpfs root/tmp
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -o remount,bind,ro root
shift
exec unshare --user --map-user=65532 --map-group=65532 --root=root --wd=/ "$@"
INSIDE
chmod 644 "$work/inside"
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs)
env -i PATH="$PATH" TMPDIR=/tmp "${as[@]}" unshare --user --map-root-user --mount --pid --fork --kill-child \
  sh "$work/inside" "$work" /vaeguard serve /mnt/models --http "127.0.0.1:$port" --grpc off --admin off >"$work/out" 2>"$work/err" &
pid=$!
fail() { echo "$1"; cat "$work/out" "$work/err"; exit 1; }
for _ in $(seq 150); do
  ! curl -sf "http://127.0.0.1:$port/v2/health/ready" >/dev/null || break
  kill -0 "$pid" 2>/dev/null || fail "the server has ended"
  sleep 0.2
done
curl -sf "http://127.0.0.1:$port/v2/models/models" | grep -q '"is_adversarial"' || fail "it does not describe its model"

# The first process of the namespace is the server's keeper; its child is the server.
first=$(pgrep -P "$pid" | head -1)
child=$(pgrep -P "$first" | head -1)
grep -q '^NSpid:.*[[:space:]]1$' "/proc/$first/status" || fail "it is not process 1"
for p in "$first" "$child"; do
  [ "$(readlink "/proc/$p/exe")" = /vaeguard ] || [[ $(tr '\0' ' ' <"/proc/$p/cmdline") == /vaeguard* ]] || fail "process $p is not the server"
  grep -q '^CapEff:[[:space:]]*0000000000000000$' "/proc/$p/status" || fail "process $p has privileges"
done
grep -qE '^[0-9]+ [0-9]+ [0-9:]+ [^ ]* / ro[ ,]' "/proc/$first/mountinfo" || fail "its root can be written"
kill -TERM "$first"
code=0
wait "$pid" || code=$?
pid=
[ "$code" = 0 ] || fail "exit code $code after SIGTERM"
echo "ready as process 1, without privileges, on a read-only root; SIGTERM: exit code 0"
