#!/bin/bash
# Runs tests of one suite in dom0, and tells the lab of each in a line of its own: `@@ pass|fail NAME MILLISECONDS`.
#
#   runner.sh SUITE LIMIT NAME...     LIMIT: seconds for one test
set -euo pipefail
here=$(dirname "$0")
suite=$here/$1.sh limit=$2
shift 2

. "$here/lib.sh"
remember_world

run_one() {
	local verdict=pass began said=/run/lab-said
	began=$(date +%s%N)
	timeout --kill-after=5 "$limit" bash -c 'set -euo pipefail; . "$1/lib.sh"; . "$2"; "$3"' "$1" "$here" "$suite" "$1" \
		>$said 2>&1 </dev/null || verdict=fail
	if [ $verdict = fail ]; then
		sed 's/^/    | /' $said
	fi
	echo "@@ $verdict $1 $((($(date +%s%N) - began) / 1000000))"
	[ $verdict = pass ]
}

if grep -q '^setup()' "$suite"; then
	run_one setup || exit 0
fi
for name; do
	run_one "$name" || true
done
