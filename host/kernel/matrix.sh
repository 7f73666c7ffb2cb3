#!/usr/bin/env bash
# The repository's tests at each level of the kernels and with GOMAXPROCS 1, 2
# and 8: a line for each cell, an exit code that is not 0 if one fails.
#
#   host/kernel/matrix.sh [-short] [PACKAGE ...]    default: ./...
#
# -short is for a quick look. A level that the machine lacks fails, because New refuses it. The output of
# a cell that fails is shown below its line.
set -u
cd "$(dirname "$0")/../.." || exit 1
flags=()
if [ "${1-}" = -short ]; then
	flags=(-short)
	shift
fi
[ $# -gt 0 ] || set -- ./...
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
failed=0
for level in avx512 avx2 generic; do
	for procs in 1 2 8; do
		start=$SECONDS
		if VAEGUARD_KERNEL=$level GOMAXPROCS=$procs go test -count=1 "${flags[@]}" "$@" >"$log" 2>&1; then
			verdict=ok
		else
			verdict=FAIL
			failed=1
		fi
		printf '%-4s  %-8s GOMAXPROCS=%d  %3d packages ok, %d failed  %4ds\n' "$verdict" "$level" "$procs" \
			"$(grep -c '^ok' "$log")" "$(grep -c '^FAIL[[:space:]].*/' "$log")" $((SECONDS - start))
		[ "$verdict" = ok ] || grep -v -e '^ok' -e 'no test files' "$log"
	done
done
exit $failed
