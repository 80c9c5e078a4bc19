# Init containers, sidecars, probes and hooks.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

setup() {
	make_web
	expect_ok xenpodctl import oci:$fixtures/web web
	remember_world
}

# begin NAME: a pod from a manifest's spec on standard input is created and started; its life is in the hands of the caller.
begin() {
	{
		printf 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n  annotations: {xenpod.org/memory: 64Mi}\nspec:\n' "$1"
		sed 's/^/  /'
	} >"/run/$1.yaml"
	expect_ok xenpodctl create -f "/run/$1.yaml"
	rm "/run/$1.yaml"
}

# says POD CONTAINER LINE: it stands in its log.
says() {
	xenpodctl logs "$1" -c "$2" | grep -qx "$3"
}

# of POD CONTAINER KEY: one thing of what is known of a container.
of() {
	xenpodctl --json container ls "$1" | jq -r --arg name "$2" --arg key "$3" '.[] | select(.name == $name) | .[$key]'
}

# has POD CONTAINER KEY VALUE
has() {
	[ "$(of "$1" "$2" "$3")" = "$4" ]
}

test_init_containers_in_order_then_the_others_then_the_sidecar_last() {
	begin i <<-'END'
		restartPolicy: Never
		terminationGracePeriodSeconds: 20
		volumes: [{name: v, emptyDir: {medium: Memory}}]
		initContainers:
		- {name: one, image: base, command: [sh, -c, "echo one >>/v/log; sleep 0.5; echo end >>/v/log"], volumeMounts: [{name: v, mountPath: /v}]}
		- name: side
		  image: base
		  restartPolicy: Always
		  command: [sh, -c, 'trap "echo side ends; exit 0" TERM; echo side >>/v/log; touch /v/up; while :; do sleep 0.1; done']
		  startupProbe: {exec: {command: [test, -e, /v/up]}, periodSeconds: 1}
		  volumeMounts: [{name: v, mountPath: /v}]
		- {name: two, image: base, command: [sh, -c, "echo two >>/v/log"], volumeMounts: [{name: v, mountPath: /v}]}
		containers:
		- {name: main, image: base, command: [sh, -c, "cat /v/log; sleep 3; echo main ends"], volumeMounts: [{name: v, mountPath: /v}]}
	END
	expect_ok xenpodctl start i
	expect_equal running "$(state i)"
	within 5 says i main two
	expect_equal 'one end side two' "$(xenpodctl logs i | head -4 | xargs)"
	expect_equal 'init sidecar init app' "$(xenpodctl --json container ls i | jq -r '.[].role' | xargs)"
	expect_equal '0 Completed' "$(of i one exit_code) $(of i one reason)"
	within 30 is_state i stopped
	expect_equal 0 "$(xenpodctl wait i)"
	expect_equal 'side ends' "$(xenpodctl logs i -c side)"
	gone i
	no_leftovers
}

test_an_init_container_that_fails() {
	begin f <<-'END'
		restartPolicy: Never
		initContainers: [{name: bad, image: base, command: [sh, -c, "echo no; exit 3"]}]
		containers: [{name: main, image: base, command: [sleep, "100"]}]
	END
	expect_fail_with 'init container bad ended with 3' xenpodctl start f
	expect_equal 'failed InitFailed' "$(state f) $(field f .reason)"
	expect_equal no "$(xenpodctl logs f -c bad)"
	gone f
	begin again <<-'END'
		restartPolicy: Always
		volumes: [{name: v, emptyDir: {medium: Memory}}]
		initContainers: [{name: bad, image: base, command: [sh, -c, "[ -e /v/x ] || { touch /v/x; exit 3; }"], volumeMounts: [{name: v, mountPath: /v}]}]
		containers: [{name: main, image: base, command: [sleep, "100"]}]
	END
	expect_ok xenpodctl start again
	expect_equal '1 0' "$(of again bad restart_count) $(of again bad exit_code)"
	gone again
	no_leftovers
}

test_a_start_that_waits_can_be_stopped_and_outlives_the_daemon() {
	begin w <<-'END'
		restartPolicy: Never
		terminationGracePeriodSeconds: 1
		initContainers: [{name: wait, image: base, command: [sh, -c, "while [ ! -e /go ]; do sleep 0.1; done; sleep 1"]}]
		containers: [{name: main, image: base, command: [sleep, "100"]}]
	END
	xenpodctl start w >/dev/null 2>&1 &
	within 20 has w wait state running
	expect_equal starting "$(state w)"
	systemctl restart xenpodd
	wait $! || true
	within 20 has w wait state running
	expect_ok xenpodctl exec w -c wait -- touch /go
	within 20 is_state w running
	expect_equal running "$(of w main state)"
	expect_ok xenpodctl stop w
	xenpodctl start w >/dev/null 2>&1 &
	within 20 has w wait state running
	expect_ok xenpodctl stop w
	expect_equal stopped "$(state w)"
	if wait $!; then fail 'a start that was stopped is said to have succeeded'; fi
	gone w
	no_leftovers
}

test_probes_by_http_and_tcp_say_ready() {
	begin r <<-'END'
		terminationGracePeriodSeconds: 1
		containers:
		- name: server
		  image: web
		  ports: [{name: http, containerPort: 8080}]
		  startupProbe: {tcpSocket: {port: http}, periodSeconds: 1}
		  readinessProbe: {httpGet: {port: http, path: /index.html}, periodSeconds: 1, failureThreshold: 1}
		  livenessProbe: {httpGet: {port: 8080, path: index.html}, periodSeconds: 1}
	END
	expect_ok xenpodctl start r
	within 20 has r server ready true
	expect_equal true "$(field r .ready)"
	expect_ok xenpodctl exec r -- mv /www/index.html /www/away.html
	within 10 has r server ready false
	expect_output 'answered 404' xenpodctl container ls r
	# And by and by the liveness probe, too, has had enough.
	within 20 has r server restart_count 1
	within 20 has r server ready true
	gone r
	no_leftovers
}

test_a_liveness_probe_that_fails_ends_the_container() {
	begin l <<-'END'
		restartPolicy: Never
		terminationGracePeriodSeconds: 30
		containers:
		- name: main
		  image: base
		  command: [sh, -c, 'trap "" TERM; touch /well; sleep 2; rm /well; while :; do sleep 0.1; done']
		  livenessProbe: {exec: {command: [cat, /well]}, initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 2, terminationGracePeriodSeconds: 1}
	END
	expect_ok xenpodctl start l
	within 25 is_state l stopped
	expect_equal '137 Signal' "$(of l main exit_code) $(of l main reason)"
	expect_output 'its liveness probe failed: "cat /well" ended with 1' xenpodctl container ls l
	gone l
	no_leftovers
}

test_hooks() {
	begin h <<-'END'
		restartPolicy: Never
		terminationGracePeriodSeconds: 6
		containers:
		- name: main
		  image: base
		  command: [sh, -c, 'trap "cat /hook; exit 0" TERM; while :; do sleep 0.1; done']
		  lifecycle:
		    postStart: {exec: {command: [sh, -c, "sleep 0.5; echo after the start >>/hook"]}}
		    preStop: {exec: {command: [sh, -c, "echo before the end >>/hook"]}}
		- {name: next, image: base, command: [sleep, "100"]}
	END
	expect_ok xenpodctl start h
	expect_equal 'after the start' "$(xenpodctl exec h -c main -- cat /hook)"
	expect_ok xenpodctl stop h
	expect_equal 'after the start before the end' "$(xenpodctl logs h -c main | xargs)"
	gone h
	begin bad <<-'END'
		restartPolicy: Never
		terminationGracePeriodSeconds: 1
		containers: [{name: main, image: base, command: [sleep, "100"], lifecycle: {postStart: {exec: {command: [no-such]}}}}]
	END
	xenpodctl start bad >/dev/null 2>&1 || true
	within 20 is_state bad stopped
	expect_output 'postStart hook failed' xenpodctl container ls bad
	gone bad
	no_leftovers
}

test_what_is_wrong_is_refused_by_name() {
	local manifest='apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - {name: a, image: base, %s}\n'
	local fields
	for fields in 'livenessProbe: {grpc: {port: 1}}|grpc: is not supported' \
		'livenessProbe: {httpGet: {port: 1, host: example.org}}|host: is not supported' \
		'readinessProbe: {tcpSocket: {port: nowhere}}|is not the name of one' \
		'startupProbe: {}, livenessProbe: {periodSeconds: 1}|livenessProbe: does not say what to do' \
		'lifecycle: {preStop: {tcpSocket: {port: 1}}}|tcpSocket: is not supported'; do
		printf "$manifest" "${fields%|*}" >/run/x.yaml
		expect_fail_with "${fields#*|}" xenpodctl create -f /run/x.yaml
	done
	rm /run/x.yaml
	no_leftovers
}
