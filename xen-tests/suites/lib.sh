# What every suite has at hand. A suite is a file of test_* functions, run in dom0 as root, each in a shell of its own with
# `set -euo pipefail`: a test fails with the first command that does. `setup`, if there is one, runs once before them all.

# fail TEXT: ends the test.
fail() {
	printf 'failed: %s\n' "$*" >&2
	exit 1
}

# expect_ok CMD...: it succeeds; its output is shown when it does not.
expect_ok() {
	local said status=0
	said=$("$@" 2>&1) || status=$?
	[ $status -eq 0 ] || fail "$* ended with $status: $said"
}

# expect_status STATUS CMD...: it ends with just that status.
expect_status() {
	local wanted=$1 said status=0
	shift
	said=$("$@" 2>&1) || status=$?
	[ $status -eq "$wanted" ] || fail "$* ended with $status, not $wanted: $said"
}

# expect_fail_with TEXT CMD...: it fails, and says TEXT.
expect_fail_with() {
	local text=$1 said status=0
	shift
	said=$("$@" 2>&1) || status=$?
	[ $status -ne 0 ] || fail "$* succeeded: $said"
	[[ $said == *"$text"* ]] || fail "$* did not say '$text' but: $said"
}

# expect_equal WANTED FOUND [OF WHAT]
expect_equal() {
	[ "$1" = "$2" ] || fail "${3:+$3: }wanted '$1', found '$2'"
}

# expect_output TEXT CMD...: it succeeds and TEXT is in what it says.
expect_output() {
	local text=$1 said status=0
	shift
	said=$("$@" 2>&1) || status=$?
	[ $status -eq 0 ] || fail "$* ended with $status: $said"
	[[ $said == *"$text"* ]] || fail "$* did not say '$text' but: $said"
}

# within SECONDS CMD...: it succeeds sooner or later; tried again until then.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || fail "still not so: $*"
		sleep 0.2
	done
}

# A suite that looks at the files of images as well sets this.
with_images=

# world: all that a pod could leave behind in this dom0, one thing a line.
world() {
	xl list | awk 'NR > 1 { print "domain", $1 }'
	# One look at the whole tree costs less than six at its branches.
	xenstore-ls -f / | sed -nE 's,^((/local/domain|/libxl|/vm|/local/domain/0/backend/[a-z]+)/[^/ ]+) = .*,xenstore \1,p'
	losetup --list --noheadings --output NAME,BACK-FILE | sed 's/^/loop /'
	ip -o link show | awk -F': ' '{ sub(/@.*/, "", $2); print "link", $2 }'
	nft list ruleset 2>/dev/null | sed -E 's/counter packets [0-9]+ bytes [0-9]+/counter/' | sed 's/^/rule /'
	awk '{ print "mount", $2, $3 }' /proc/self/mounts
	local images=(-path '*/images/*' -prune -o)
	[ -z "$with_images" ] || images=()
	for folder in /var/lib/xenpod /run/xenpod; do
		[ ! -d $folder ] || find $folder "${images[@]}" -printf 'file %p\n'
	done
}

# Where the world is remembered; a subshell may have another.
lab_world=/run/lab-world

# remember_world: from here on no_leftovers compares. The runner does it once, before `setup`.
remember_world() {
	world | sort >$lab_world
}

# How long no_leftovers waits, in seconds.
leftovers_wait=6

# no_leftovers [PATTERN]: the world is as it was remembered, but for lines that match PATTERN.
no_leftovers() {
	local left='' end=$((SECONDS + leftovers_wait))
	# Destroying is asynchronous: a domain may be dying, a device closing, for a moment.
	while :; do
		left=$(diff $lab_world <(world | sort) | grep '^[<>]' | grep -vE "${1:-^$}" || true)
		[ -n "$left" ] || return 0
		[ $SECONDS -lt $end ] || break
		sleep 0.2
	done
	fail "something is left over or lost (> and <):"$'\n'"$left"
}

# busybox_root DIR: a root file system of Debian's static busybox: a shell, httpd, wget and some hundred more.
busybox_root() {
	local name
	mkdir -p "$1"/{bin,etc,tmp,var,root}
	chmod 1777 "$1/tmp"
	cp /bin/busybox "$1/bin/"
	for name in $(busybox --list); do
		[ "$name" = busybox ] || ln -sf busybox "$1/bin/$name"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
}

# start_registry PORT: Debian's docker-registry on loopback, over HTTP, empty.
# With a CERTIFICATE and a KEY after it, over TLS.
start_registry() {
	local folder=/run/lab-registry-$1
	mkdir -p "$folder"
	cat >"$folder/config.yml" <<-END
		version: 0.1
		log: { level: error }
		storage: { filesystem: { rootdirectory: $folder/data }, delete: { enabled: true } }
		http:
		  addr: 127.0.0.1:$1
		  ${2:+tls: { certificate: $2, key: $3 \}}
	END
	systemd-run --quiet --unit="lab-registry-$1" docker-registry serve "$folder/config.yml"
	within 30 curl -sSfk "http${2:+s}://127.0.0.1:$1/v2/"
}

# push OCI-LAYOUT NAME:TAG PORT: into that registry.
push() {
	skopeo --insecure-policy copy --quiet --dest-tls-verify=false "oci:$1" "docker://127.0.0.1:$3/$2"
}
