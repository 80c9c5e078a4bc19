# Each verb of xenpodctl, on a running pod.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

test_created_is_not_started() {
	pod c base sh -c 'echo ran' >/run/c.json
	expect_ok xenpodctl create -f /run/c.json
	expect_equal created "$(state c)"
	expect_equal '' "$(xenpodctl logs c)"
	expect_ok xenpodctl start c
	within 20 is_state c stopped
	expect_equal ran "$(xenpodctl logs c)"
	gone c
	no_leftovers
}

test_ps_shows_what_lives_and_with_a_all() {
	running p1
	pod p2 base true >/run/p2.json
	xenpodctl run -f /run/p2.json
	expect_equal p1 "$(xenpodctl --json ps | jq -r '.[].name')"
	expect_equal 'p1 p2' "$(xenpodctl --json ps -a | jq -r '.[].name' | sort | xargs)"
	expect_output running xenpodctl ps
	expect_equal "$(field p1 .id)" "$(xenpodctl ps -q)"
	gone p1 p2
	expect_equal '[]' "$(xenpodctl --json ps -a | jq -c .)"
	no_leftovers
}

test_exec_passes_input_output_and_status() {
	running e
	expect_equal 'a b' "$(xenpodctl exec e -- echo a b)"
	expect_status 3 xenpodctl exec e -- sh -c 'exit 3'
	expect_equal 'from here' "$(echo 'from here' | xenpodctl exec -i e -- cat)"
	head -c 3000000 /dev/urandom >/run/random
	expect_equal "$(md5sum </run/random)" "$(xenpodctl exec -i e -- md5sum </run/random)"
	expect_equal "$(md5sum </run/random)" "$(xenpodctl exec -i e -- cat </run/random | md5sum)"
	expect_equal 'uid=1000(app) gid=1000(app)' "$(xenpodctl exec -u app e -- id | cut -d' ' -f1,2)"
	expect_equal '/tmp x' "$(xenpodctl exec -w /tmp -e V=x e -- sh -c 'echo $(pwd) $V')"
	expect_equal 'not a tty' "$(xenpodctl exec e -- tty 2>&1 || true)"
	expect_output /dev/pts script -qec 'xenpodctl exec -it e -- tty' /dev/null
	rm /run/random
	gone e
}

test_exec_of_what_is_not_there_is_quick_and_exact() {
	running q
	local began=$EPOCHREALTIME
	expect_status 127 xenpodctl exec q -- no-such-command
	local took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
	expect_fail_with 'no-such-command' xenpodctl exec q -- no-such-command
	expect_status 126 xenpodctl exec q -- /etc/passwd
	expect_status 127 xenpodctl exec q -- /etc/no/such
	[ $took -lt 1000 ] || fail "it took $took ms"
	gone q
}

test_logs_follow_until_the_end() {
	running l sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done'
	expect_equal '1 2 3' "$(xenpodctl logs -f l | xargs)"
	expect_equal '1 2 3' "$(xenpodctl logs l | xargs)"
	gone l
}

test_stop_lets_the_container_end_itself() {
	running s sh -c 'trap "echo bye; exit 5" TERM; while :; do sleep 0.1; done'
	sleep 1
	expect_ok xenpodctl stop -t 20 s
	expect_equal stopped "$(state s)"
	expect_equal bye "$(xenpodctl logs s)"
	expect_equal 5 "$(field s '.containers[0].exit_code')"
	expect_equal 5 "$(xenpodctl wait s)"
	gone s
	no_leftovers
}

test_stop_kills_what_does_not_end() {
	running k sh -c 'trap "" TERM; while :; do sleep 0.1; done'
	expect_ok xenpodctl stop -t 1 k
	expect_equal 137 "$(field k '.containers[0].exit_code')"
	gone k
	no_leftovers
}

test_a_stopped_pod_starts_again() {
	running again
	expect_ok xenpodctl exec again -- sh -c 'echo kept >/file'
	expect_ok xenpodctl stop -t 0 again
	expect_ok xenpodctl start again
	expect_equal running "$(state again)"
	gone again
	no_leftovers
}

test_pause_and_resume() {
	running z
	expect_ok xenpodctl pause z
	expect_equal paused "$(state z)"
	xl list "$(field z .domid)" | grep -q -e --p---
	expect_fail_with 'paused' xenpodctl exec z true
	expect_ok xenpodctl resume z
	expect_ok xenpodctl exec z true
	gone z
	no_leftovers
}

test_run_removes_nothing_without_rm() {
	expect_equal x "$(xenpodctl run --name kept base echo x)"
	expect_equal stopped "$(state kept)"
	expect_equal x "$(xenpodctl logs kept)"
	gone kept
	no_leftovers
}

test_signals_are_passed_on_and_the_second_interrupt_ends_all() {
	local signal status run
	local script='for s in INT TERM USR1; do trap "echo got $s; exit 7" $s; done; echo ready; while :; do sleep 0.1; done'
	for signal in INT TERM USR1; do
		xenpodctl run --rm base sh -c "$script" >/run/said &
		run=$! status=0
		within 20 grep -q ready /run/said
		kill -$signal $run
		wait $run || status=$?
		expect_equal "ready got $signal 7" "$(xargs </run/said) $status"
	done
	# Nobody heeds it: the pod is stopped in order.
	xenpodctl run --rm base sh -c 'trap "" INT; trap "exit 8" TERM; echo ready; while :; do sleep 0.1; done' >/run/said &
	run=$! status=0
	within 20 grep -q ready /run/said
	kill -INT $run
	wait $run || status=$?
	expect_equal 8 $status
	xenpodctl run --rm base sh -c 'trap "" INT TERM; echo ready; while :; do sleep 0.1; done' >/run/said &
	run=$! status=0
	within 20 grep -q ready /run/said
	kill -INT $run
	sleep 1
	kill -INT $run
	wait $run || status=$?
	expect_equal 137 $status
	rm /run/said
	no_leftovers
}

test_version_and_doctor() {
	expect_output 'xenpodd ' xenpodctl version
	expect_equal 4.17 "$(xenpodctl --json version | jq -r .xen | cut -d. -f1,2)"
	expect_output xenstored xenpodctl version
	expect_ok xenpodctl doctor
	expect_equal '' "$(xenpodctl --json doctor | jq -r '.[] | select(.outcome == "fail") | .check')"
	expect_equal yes "$(xenpodctl --json doctor | jq -r 'if length >= 6 then "yes" else "no" end')"
}

test_inspect_is_json_of_a_pod_or_an_image() {
	expect_equal amd64 "$(field base .architecture)"
	expect_fail_with 'there is no pod and no image "nothing"' xenpodctl inspect nothing
}

test_completions_and_manuals() {
	expect_output xenpodctl xenpodctl completions bash
	# This dom0 keeps no manual pages; that the package has them is what counts.
	local page
	for page in man1/xenpodctl.1 man1/xenpodctl-run.1 man5/xenpod-manifest.5 man8/xenpodd.8; do
		expect_output "/usr/share/man/$page" dpkg -L xenpod
	done
}
