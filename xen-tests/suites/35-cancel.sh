# Work that is broken off: by Cancel, by a registry that goes, by the end of the daemon. It is taken back, or taken up again.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

with_images=1
fault=/run/registry-fault log=/run/registry-log
image=127.0.0.1:5000/team/noise:1

# What a pull that did not end keeps for the next one.
kept='^> file /var/lib/xenpod/images/ingest/sha256-[0-9a-f]{64}(\.partial)?$'

setup() {
	# Two layers that are large also when compressed.
	mkdir $fixtures/noise
	head -c 1000000 /dev/urandom >$fixtures/noise/noise
	/opt/lab/suites/mkimage $fixtures/registry $fixtures/root $fixtures/noise --cmd sh
	remember_world
}

# registry [FAULT]: it serves the image, with that fault; see faulty_registry.py.
registry() {
	echo "${1-}" >$fault
	: >$log
	systemctl is-active -q lab-faulty ||
		systemd-run --quiet --unit=lab-faulty --collect python3 /opt/lab/suites/faulty_registry.py 5000 $fixtures/registry $log $fault
	within 30 curl -sSf http://127.0.0.1:5000/v2/
}

registry_dies() {
	systemctl kill -s KILL lab-faulty || true
	within 10 sh -c '! systemctl is-active -q lab-faulty'
}

# call PATH INTERFACE METHOD [SIGNATURE ARGUMENT...]: what org.xenpod1 answers, a value a line.
call() {
	busctl --json=short call org.xenpod1 "$1" "org.xenpod1.$2" "${@:3}" | jq -r '.data[]'
}

# outcome JOB: how it ended, in three lines.
outcome() {
	timeout 60 busctl --json=short call org.xenpod1 "$1" org.xenpod1.Job Wait 'a{sv}' 0 | jq -r '.data[]'
}

# cancelled JOB WHAT: it is cancelled, and says that WHAT was.
cancelled() {
	call "$1" Job Cancel 'a{sv}' 0
	expect_equal "cancelled org.xenpod1.Error.Cancelled $2 was cancelled" "$(outcome "$1" | xargs)"
	expect_equal cancelled "$(busctl --json=short get-property org.xenpod1 "$1" org.xenpod1.Job State | jq -r .data)"
}

# stalled JOB: some of the layer has come, and no more comes.
stalled() {
	local now before=''
	while :; do
		now=$(busctl --json=short get-property org.xenpod1 "$1" org.xenpod1.Job Progress | jq -r .data)
		[ "$now" = 0 ] || [ "$now" != "$before" ] || return 0
		before=$now
		sleep 0.5
	done
}

begin_pull() {
	call /org/xenpod1 Manager PullImage 'sa{sv}' $image 0
}

# resumed: the last requests asked for the rest only.
resumed() {
	grep -q '^206 .*/blobs/.* bytes=[1-9]' $log || fail "nobody asked for a rest: $(cat $log)"
}

# whole: the image has come, is what was sent, and goes again.
whole() {
	expect_equal "$(md5sum <$fixtures/noise/noise)" "$(xenpodctl run --rm $image -- sh -c 'md5sum </noise')"
	expect_ok xenpodctl rmi $image
	no_leftovers
}

test_a_pull_that_is_cancelled() {
	local job
	registry 'stall 300000'
	job=$(begin_pull)
	stalled "$job"
	cancelled "$job" "image $image"
	expect_status 125 xenpodctl inspect $image
	no_leftovers "$kept"
	# By who waits for it.
	local signal pull status jobs
	for signal in INT TERM; do
		jobs=$(xenpodctl --json events | jq -s '[.[] | select(.type == "job-ended")] | length')
		xenpodctl pull $image >/run/said 2>&1 &
		pull=$! status=0
		sleep 3
		kill -$signal $pull
		wait $pull || status=$?
		expect_equal "125 xenpodctl: image $image was cancelled" "$status $(cat /run/said)"
		expect_equal $((jobs + 1)) "$(xenpodctl --json events | jq -s '[.[] | select(.type == "job-ended")] | length')"
	done
	rm /run/said
	no_leftovers "$kept"
	registry
	expect_ok xenpodctl pull $image
	resumed
	whole
}

test_a_registry_that_dies_twice_within_a_layer() {
	local job
	registry 'stall 300000'
	job=$(begin_pull)
	stalled "$job"
	registry_dies
	[[ $(outcome "$job" | xargs -d '\n') == "failed org.xenpod1.Error.ImageUnavailable image $image: registry 127.0.0.1:5000 cannot be reached: "* ]] || fail "$(outcome "$job")"
	no_leftovers "$kept"
	registry 'stall 300000'
	job=$(begin_pull)
	stalled "$job"
	resumed
	registry_dies
	[[ $(outcome "$job" | xargs -d '\n') == 'failed org.xenpod1.Error.ImageUnavailable '* ]] || fail "$(outcome "$job")"
	no_leftovers "$kept"
	registry
	expect_ok xenpodctl pull $image
	resumed
	whole
}

test_connections_that_break_are_taken_up_within_the_pull() {
	registry 'break 200000'
	expect_ok xenpodctl pull $image
	[ "$(grep -c ^206 $log)" -ge 2 ] || fail "$(cat $log)"
	whole
}

test_a_daemon_that_dies_within_a_pull() {
	registry 'stall 300000'
	stalled "$(begin_pull)"
	kill -9 "$(systemctl show -p MainPID --value xenpodd)"
	within 30 xenpodctl ps
	no_leftovers "$kept"
	registry
	expect_ok xenpodctl pull $image
	resumed
	whole
}

test_a_registry_that_lies_leaves_nothing() {
	local said
	registry lie
	said=$(XENPODCTL_ERROR_NAMES=1 xenpodctl pull $image 2>&1) && fail "it was taken: $said"
	[[ $said == *': layer sha256:'*' has digest sha256:'*', expected sha256:'*'error name: org.xenpod1.Error.ImageInvalid' ]] || fail "$said"
	no_leftovers
	registry 'short 300000'
	said=$(XENPODCTL_ERROR_NAMES=1 xenpodctl pull $image 2>&1) && fail "it was taken: $said"
	[[ $said == *': layer sha256:'*' is 300000 bytes, manifest says '*'error name: org.xenpod1.Error.ImageInvalid' ]] || fail "$said"
	no_leftovers
	# And it is not held against the honest one.
	registry
	expect_ok xenpodctl pull $image
	whole
}

test_a_create_that_is_cancelled_while_it_fetches() {
	local said
	registry 'stall 300000'
	said=$(call /org/xenpod1 Manager CreatePod 'sa{sv}' "$(pod half $image true)" 1 start b true)
	stalled "$(head -n 1 <<<"$said")"
	expect_equal creating "$(state half)"
	cancelled "$(head -n 1 <<<"$said")" 'pod half'
	expect_fail_with 'no pod and no image "half"' xenpodctl inspect half
	no_leftovers "$kept"
	registry
	expect_ok xenpodctl pull $image
	whole
}

test_a_start_that_is_cancelled() {
	local path job
	pod broken base sleep 100000 >/run/broken.json
	expect_ok xenpodctl create -f /run/broken.json
	path=$(call /org/xenpod1 Manager GetPod s broken)
	job=$(call "$path" Pod Start 'a{sv}' 0)
	sleep 0.3
	cancelled "$job" 'pod broken'
	expect_equal 'failed Cancelled 4294967295' "$(field broken '| "\(.state) \(.reason) \(.domid)"')"
	# Its record is all that is there.
	no_leftovers "^> file /var/lib/xenpod/pods/$(field broken .id)(/|\$)"
	leftovers_wait=0 expect_fail_with "$(field broken .id)" no_leftovers
	expect_ok xenpodctl start broken
	expect_equal running "$(state broken)"
	gone broken
	rm /run/broken.json
	no_leftovers
}

# is_gone POD: it was removed, now or before. What a device under way was not quick enough for is taken back a little later.
is_gone() {
	! xenpodctl inspect "$1" || xenpodctl rm -f "$1"
}

test_cancelled_at_any_moment_nothing_is_left() {
	local pause said job
	for pause in 0 0.4 1 2; do
		said=$(call /org/xenpod1 Manager CreatePod 'sa{sv}' "$(pod moment base sleep 100000)" 1 start b true)
		job=$(head -n 1 <<<"$said")
		sleep $pause
		call "$job" Job Cancel 'a{sv}' 0
		said=$(outcome "$job" | xargs)
		[[ $said == 'cancelled org.xenpod1.Error.Cancelled '* || $said == done ]] || fail "after $pause s: $said"
		within 60 is_gone moment
		no_leftovers
	done
}
