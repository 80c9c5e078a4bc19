# Containers one by one, in a running pod.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

setup() {
	# Another image, so that a disk has to come to a running domain.
	mkdir -p $fixtures/mark
	echo second >$fixtures/mark/which
	/opt/lab/suites/mkimage $fixtures/second $fixtures/root $fixtures/mark --tag second --cmd sh --stop-signal SIGUSR1
	expect_ok xenpodctl import oci:$fixtures/second second
	remember_world
}

# box NAME: a pod without a container runs.
box() {
	printf 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n  annotations: {xenpod.org/memory: 64Mi}\nspec:\n  containers: []\n' "$1" |
		expect_ok xenpodctl create -f -
	expect_ok xenpodctl start "$1"
	expect_equal running "$(state "$1")"
}

# says POD CONTAINER LINE: it stands in its log.
says() {
	xenpodctl logs "$1" -c "$2" | grep -qx "$3"
}

# of POD CONTAINER KEY: one thing of what is known of a container.
of() {
	xenpodctl --json container ls "$1" | jq -r --arg name "$2" --arg key "$3" '.[] | select(.name == $name) | .[$key]'
}

is_now() {
	[ "$(of "$1" "$2" state)" = "$3" ]
}

test_a_pod_without_containers_gets_them_one_by_one() {
	box b
	expect_equal '[]' "$(xenpodctl --json container ls b | jq -c .)"
	expect_equal a "$(xenpodctl container create --name a b base sh -c 'echo hello; sleep 100000')"
	expect_equal created "$(of b a state)"
	expect_fail_with 'is created' xenpodctl exec b -c a -- true
	expect_ok xenpodctl container start b a
	expect_equal running "$(of b a state)"
	within 5 says b "a" hello
	expect_ok xenpodctl exec b -c a -- true
	# Its image comes on a disk of its own.
	expect_equal s "$(xenpodctl container create --start --name s b second sleep 100000)"
	expect_equal second "$(xenpodctl exec b -c s -- cat /which)"
	expect_equal 3 "$(xenstore-list "/local/domain/0/backend/vbd/$(field b .domid)" | wc -l)"
	expect_ok xenpodctl container rm -f b s
	expect_equal 2 "$(xenstore-list "/local/domain/0/backend/vbd/$(field b .domid)" | wc -l)"
	expect_equal running "$(state b)"
	gone b
	no_leftovers
}

test_disks_come_and_go_many_times() {
	box d
	local round
	for round in 1 2 3 4 5; do
		expect_ok xenpodctl container create --start --name "s$round" d second sh -c 'cat /which; sleep 100000'
		within 5 says d "s$round" second
		expect_ok xenpodctl container rm -f d "s$round"
	done
	expect_equal 1 "$(xenstore-list "/local/domain/0/backend/vbd/$(field d .domid)" | wc -l)"
	expect_equal '' "$(losetup --list --noheadings --output BACK-FILE | grep second || true)"
	gone d
	no_leftovers
}

test_stop_signal_grace_and_kill() {
	box s
	expect_ok xenpodctl container create --start --name own s second sh -c 'trap "echo asked; exit 3" USR1; while :; do sleep 0.1; done'
	expect_ok xenpodctl container create --start --name deaf s base sh -c 'trap "" TERM; while :; do sleep 0.1; done'
	sleep 1
	expect_ok xenpodctl container stop -t 20 s own
	expect_equal 'exited 3 Error' "$(of s own state) $(of s own exit_code) $(of s own reason)"
	expect_equal asked "$(xenpodctl logs s -c own)"
	local began=$SECONDS
	expect_ok xenpodctl container stop -t 2 s deaf
	[ $((SECONDS - began)) -ge 2 ] || fail 'the grace was not given'
	expect_equal 'exited 137 Signal' "$(of s deaf state) $(of s deaf exit_code) $(of s deaf reason)"
	[ "$(of s deaf finished)" -gt "$(of s deaf started)" ] || fail 'it ended before it began'
	# And again, with nothing of its first life.
	expect_ok xenpodctl container start s own
	expect_equal running "$(of s own state)"
	expect_ok xenpodctl container stop -t 20 s own
	gone s
	no_leftovers
}

test_kill_with_any_signal() {
	box k
	expect_ok xenpodctl container create --start --name k k base sh -c 'trap "echo one" USR1; trap "exit 7" TERM; while :; do sleep 0.1; done'
	sleep 1
	expect_ok xenpodctl kill -s USR1 k
	within 5 says k k one
	expect_equal running "$(of k k state)"
	expect_ok xenpodctl container kill -s 15 k k
	within 5 is_now k k exited
	expect_equal '7 Error' "$(of k k exit_code) $(of k k reason)"
	expect_ok xenpodctl container start k k
	sleep 1
	expect_ok xenpodctl kill k
	within 5 is_now k k exited
	expect_equal '137 Signal 9' "$(of k k exit_code) $(of k k reason) $(of k k signal)"
	expect_fail_with 'it is exited' xenpodctl kill k
	gone k
	no_leftovers
}

test_reasons() {
	box r
	expect_ok xenpodctl container create --start --name fine r base true
	expect_ok xenpodctl container create --start --name wrong r base sh -c 'exit 9'
	printf 'name: big\nimage: base\ncommand: [sh, -c, "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]\nresources: {limits: {memory: 8Mi}}\n' |
		expect_ok xenpodctl container create --start -f - r
	within 5 is_now r fine exited
	within 5 is_now r wrong exited
	within 20 is_now r big exited
	expect_equal '0 Completed' "$(of r fine exit_code) $(of r fine reason)"
	expect_equal '9 Error' "$(of r wrong exit_code) $(of r wrong reason)"
	expect_equal '137 OOMKilled' "$(of r big exit_code) $(of r big reason)"
	expect_equal running "$(state r)"
	gone r
	no_leftovers
}

test_a_command_that_does_not_exist() {
	box n
	expect_status 127 xenpodctl container create --start --name n n base no-such-command
	expect_equal 'exited 127 Error' "$(of n n state) $(of n n exit_code) $(of n n reason)"
	expect_output no-such-command xenpodctl container ls n
	expect_ok xenpodctl container rm n n
	gone n
	no_leftovers
}

test_rename_and_remove() {
	box m
	expect_ok xenpodctl container create --start --name a m base sh -c 'echo first; sleep 100000'
	expect_ok xenpodctl container rename m a b
	expect_equal b "$(xenpodctl --json container ls m | jq -r '.[].name')"
	expect_ok xenpodctl exec m -c b -- true
	within 5 says m "b" first
	expect_fail_with 'no container "a"' xenpodctl logs m -c a
	expect_ok xenpodctl container create --start --name a m base sh -c 'echo second; sleep 100000'
	within 5 says m "a" second
	expect_equal first "$(xenpodctl logs m -c b)"
	expect_fail_with 'already' xenpodctl container rename m a b
	expect_fail_with 'is not a name' xenpodctl container rename m a A_b
	expect_fail_with 'stop it first' xenpodctl container rm m a
	expect_ok xenpodctl container stop -t 0 m a
	expect_ok xenpodctl container rm m a
	systemctl restart xenpodd
	expect_equal running "$(of m b state)"
	expect_ok xenpodctl exec m -c b -- true
	expect_ok xenpodctl container rm -f m b
	gone m
	no_leftovers
}

test_what_is_wrong_is_refused_by_name() {
	box w
	expect_fail_with 'image: is missing' sh -c 'echo "name: x" | xenpodctl container create -f - w'
	expect_fail_with 'line 3: imagee: there is no such field' sh -c 'printf "name: x\nimage: base\nimagee: y\n" | xenpodctl container create -f - w'
	expect_fail_with 'has no volume "v"' sh -c 'printf "name: x\nimage: base\nvolumeMounts: [{name: v, mountPath: /v}]\n" | xenpodctl container create -f - w'
	expect_fail_with 'not here' sh -c 'printf "name: x\nimage: nowhere\nimagePullPolicy: Never\n" | xenpodctl container create -f - w'
	expect_status 2 xenpodctl kill -s NOSUCH w
	expect_equal '[]' "$(xenpodctl --json container ls w | jq -c .)"
	expect_ok xenpodctl stop -t 0 w
	expect_fail_with 'start it first' xenpodctl container create --name x w base true
	gone w
	no_leftovers
}

test_the_pod_of_a_manifest_outlasts_what_was_stopped_by_request() {
	running p
	expect_ok xenpodctl container stop -t 0 p main
	sleep 1
	expect_equal running "$(state p)"
	expect_ok xenpodctl container start p main
	expect_ok xenpodctl exec p -- true
	expect_ok xenpodctl kill p
	within 20 is_state p stopped
	expect_equal 137 "$(xenpodctl wait p)"
	gone p
	no_leftovers
}

test_an_ended_container_is_started_again_by_the_policy_it_was_given() {
	box a
	expect_ok xenpodctl container create --start --restart OnFailure --name f a base sh -c 'echo run >>/out; sleep 0.3; exit 1'
	within 10 sh -c '[ "$(xenpodctl --json container ls a | jq ".[0].restart_count")" -ge 1 ]'
	expect_ok xenpodctl container stop -t 0 a f
	expect_equal exited "$(of a f state)"
	gone a
	no_leftovers
}

last_ended() {
	is_state last stopped || is_state last failed
}

test_last_words() {
	cat >/run/last.yaml <<-'Y'
		apiVersion: v1
		kind: Pod
		metadata: {name: last, annotations: {xenpod.org/memory: 64Mi}}
		spec:
		  restartPolicy: Never
		  containers:
		  - name: plain
		    image: base
		    securityContext: {runAsUser: 1000, runAsGroup: 1000}
		    command: [sh, -c, "echo sleep expired > /dev/termination-log"]
		  - name: own
		    image: base
		    securityContext: {readOnlyRootFilesystem: true}
		    terminationMessagePath: /var/my/log
		    command: [sh, -c, "head -c 9000 /dev/zero | tr '\\0' x > /var/my/log; exit 3"]
		  - name: tale
		    image: base
		    terminationMessagePolicy: FallbackToLogsOnError
		    command: [sh, -c, "seq 200; echo at last; exit 1"]
		  - name: well
		    image: base
		    terminationMessagePolicy: FallbackToLogsOnError
		    command: [sh, -c, "echo all is well"]
		  - name: none
		    image: base
		    command: [sh, -c, "exit 1"]
	Y
	expect_ok xenpodctl create -f /run/last.yaml
	expect_ok xenpodctl start last
	within 20 last_ended
	expect_equal 'sleep expired' "$(of last plain termination_message)"
	expect_equal "3 4096" "$(of last own exit_code) $(of last own termination_message | tr -d '\n' | wc -c)"
	expect_equal "122 at last" "$(of last tale termination_message | grep . | sed -n '1p;$p' | xargs)"
	expect_equal "" "$(of last well termination_message)$(of last none termination_message)"
	rm /run/last.yaml
	gone last
	no_leftovers
}
