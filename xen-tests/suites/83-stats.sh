# What pods use: on the bus, in pipes, as OpenMetrics and on a terminal, against what really happened in them.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

terminal=/opt/lab/suites/terminal
socket=/run/xenpod/metrics.sock

# sample POD: all that is known of it, as JSON.
sample() {
	xenpodctl --json stats --no-stream "$1" | jq -c '.[0]'
}

# grew FILTER LEAST MOST: the number grew from $before to $after, by at least LEAST and at most MOST.
grew() {
	local by
	by=$(jq -n --argjson a "$before" --argjson b "$after" "(\$b | $1) - (\$a | $1)")
	echo "$1 grew by $by"
	[ "$(jq -n "$by >= $2 and $by <= $3")" = true ] || fail "$1 grew by $by, not by $2 to $3"$'\n'"$before"$'\n'"$after"
}

# says FILTER: it is true of a sample of the pod `f`.
says() {
	[ "$(sample f | jq "$1")" = true ]
}

M=1048576

test_figures_are_what_happened() {
	local before after domid
	# What connects to port 8000 gets 8 MiB.
	running f nc -ll -p 8000 -e head -c $((8 * M)) /dev/zero
	domid=$(field f .domid)
	before=$(sample f)
	echo "$before" | jq .

	# Two seconds of CPU, and then it is killed.
	xenpodctl exec f -- sh -c 'ulimit -t 2; while :; do :; done' || true
	after=$(sample f)
	# Time that another domain had the CPU may count for the guest, not for Xen.
	grew '.containers[0].cpu_ns' 1500000000 20000000000
	grew .cpu.usage_ns 1000000000 20000000000
	grew '.cpu.vcpus[0].usage_ns' 1000000000 20000000000

	before=$after
	expect_ok xenpodctl exec f -- dd if=/dev/zero of=/file bs=1M count=16 conv=fsync
	after=$(sample f)
	grew '.disks[] | select(.holds == "scratch") | .written_bytes' $((16 * M)) $((24 * M))
	grew '.disks[] | select(.holds == "scratch") | .writes' 16 20000
	grew '.disks[] | select(.holds | startswith("image")) | .written_bytes' 0 0
	grew '.containers[0].written_bytes' $((12 * M)) $((24 * M))
	grew .storage.disks_bytes $((15 * M)) $((32 * M))
	grew .overhead.dom0_cpu_ns 100000 20000000000

	before=$after
	expect_equal $((8 * M)) "$(timeout 60 nc "$(pod_ip f)" 8000 </dev/null | wc -c)"
	after=$(sample f)
	grew '.interfaces[0].sent_bytes' $((8 * M)) $((9 * M))
	grew '.interfaces[0].received_bytes' 1000 $M

	before=$after
	expect_ok xenpodctl exec f -- sh -c "head -c $((8 * M)) /dev/zero >/dev/shm/held"
	after=$(sample f)
	grew '.containers[0].memory_working_set_bytes' $((7 * M)) $((10 * M))
	grew '-.guest.available_bytes' $((6 * M)) $((12 * M))

	# As xl has it: whole MiB and tenths of a second.
	expect_equal "$(xl list "$domid" | awk 'NR == 2 { print $3 }')" "$(echo "$after" | jq '(.memory.domain_bytes / 1048576) | floor')" 'memory, by xl'
	jq -n --argjson s "$after" --argjson t "$(xl list "$domid" | awk 'NR == 2 { print $6 }')" '$t - $s.cpu.usage_ns / 1e9 | . > -0.2 and . < 3' | grep -q true
	expect_ok says '.overhead.xen_paging_bytes >= 1048576 and .overhead.dom0_threads >= 4'
	expect_ok says '.missing == {} and .containers[0].name == "main" and .containers[0].oom_kills == 0 and .containers[0].pids >= 1'
	gone f
	no_leftovers
}

test_a_pod_that_cannot_answer_is_answered_for() {
	running f
	expect_ok xenpodctl pause f
	expect_ok says '.missing.guest == "the pod is paused" and .cpu.usage_ns > 0 and .memory.domain_bytes > 40000000 and (has("guest") | not)'
	expect_ok xenpodctl resume f
	expect_ok says '.missing == {}'
	local domid path began took
	domid=$(field f .domid)
	path=$(busctl call org.xenpod1 /org/xenpod1 org.xenpod1.Manager GetPod s f | cut -d'"' -f2)
	# By somebody else: nobody tells the daemon.
	xl pause "$domid"
	began=$EPOCHREALTIME
	for _ in 1 2; do
		busctl --json=short call org.xenpod1 "$path" org.xenpod1.Pod GetStats 'a{sv}' 0 |
			jq -e '.data[0] | .cpu.data.usage_ns.data > 0 and (.missing.data.guest.data | test("paused|did not answer"))' >/dev/null
	done
	took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
	[ $took -lt 15000 ] || fail "it took $took ms"
	xl unpause "$domid"
	within 20 says '.missing == {}'
	expect_output 'a{sv}' busctl get-property org.xenpod1 "$path" org.xenpod1.Pod Stats
	expect_ok xenpodctl stop -t 0 f
	expect_ok says '.missing == {domain: "it has no domain", guest: "the pod is stopped"} and (.storage | has("disks_bytes")) and (has("cpu") | not)'
	gone f
	no_leftovers
}

test_a_stream_of_samples() {
	running f
	python3 - <<-'P'
		import dbus, json, os, time
		bus = dbus.SystemBus()
		manager = dbus.Interface(bus.get_object("org.xenpod1", "/org/xenpod1"), "org.xenpod1.Manager")
		pod = dbus.Interface(bus.get_object("org.xenpod1", manager.GetPod("f")), "org.xenpod1.Pod")
		stream = os.fdopen(pod.StreamStats({"interval_ms": dbus.UInt32(500)}).take())
		lines = [json.loads(stream.readline()) for _ in range(5)]
		took = (lines[-1]["monotonic_usec"] - lines[0]["monotonic_usec"]) / 1e6
		assert 1.4 < took < 8, took
		assert all(line["name"] == "f" and line["containers"] for line in lines), lines
		slow = os.fdopen(pod.StreamStats({"interval_ms": dbus.UInt32(100), "guest": False}).take())
		# One who does not read is not waited for: the daemon answers, the other stream goes on, the pod ends.
		began = time.monotonic()
		assert len(manager.ListPods({})) == 1
		assert json.loads(stream.readline())["state"] == "running"
		assert time.monotonic() - began < 5
		job = bus.get_object("org.xenpod1", pod.Stop({"grace_seconds": dbus.UInt32(0)}))
		dbus.Interface(job, "org.xenpod1.Job").Wait({})
		assert json.loads(stream.read().splitlines()[-1])["state"] == "stopped"
		assert json.loads(slow.read().splitlines()[-1])["state"] == "stopped"
		for bad in ({"interval_ms": dbus.UInt32(1)}, {"colour": dbus.UInt32(1)}):
		    try:
		        pod.StreamStats(bad)
		    except dbus.DBusException as error:
		        assert error.get_dbus_name() == "org.freedesktop.DBus.Error.InvalidArgs", error
		    else:
		        raise SystemExit(f"{bad} was taken")
	P
	gone f
	no_leftovers
}

# status CURL-ARGUMENT...: of an answer on the socket.
status() {
	curl -sS --unix-socket $socket -o /dev/null -w '%{http_code}' "$@"
}

test_openmetrics_on_the_socket() {
	running f
	local said wanted
	said=$(curl -sSf --unix-socket $socket http://localhost/metrics | python3 /opt/lab/suites/openmetrics.py)
	echo "$said" | jq -e 'length > 30' >/dev/null
	for wanted in xenpod_pod_cpu_seconds_total xenpod_pod_memory_bytes xenpod_container_memory_working_set_bytes \
		xenpod_pod_disk_read_bytes_total xenpod_pod_network_received_bytes_total xenpod_pod_overhead_xen_paging_bytes \
		xenpod_pod_start_duration_seconds xenpod_daemon_resident_memory_bytes; do
		echo "$said" | jq -e --arg n "$wanted" 'to_entries | any((.key | startswith($n + "{")) and .value > 0)' >/dev/null ||
			fail "no $wanted in $said"
	done
	expect_equal 1 "$(echo "$said" | jq '.["xenpod_pods{state=\"running\"}"]')"
	expect_output 'application/openmetrics-text; version=1.0.0; charset=utf-8' curl -sSi --unix-socket $socket http://localhost/metrics
	expect_equal '404 405 200' "$(status http://localhost/) $(status -X POST http://localhost/metrics) $(status -I http://localhost/metrics)"
	expect_equal '600 root root' "$(stat -c '%a %U %G' $socket)"
	expect_status 7 runuser -u nobody -- curl -sS --unix-socket $socket http://localhost/metrics
	# What is no HTTP is refused, and the next one served.
	expect_output '400 Bad Request' sh -c "printf 'nonsense\r\n\r\n' | nc -NU $socket"
	expect_equal 200 "$(status http://localhost/metrics)"
	gone f
	no_leftovers
}

test_stats_and_top_for_people() {
	running f
	local said
	said=$(xenpodctl stats --no-stream)
	echo "$said"
	[[ $said == NAME*'CPU %'*f*running*MiB* ]] || fail "$said"
	expect_equal 2 "$(xenpodctl --json stats -i 0.2 f | head -n 2 | jq -r .name | grep -c f)"
	expect_fail_with 'no pod has the name' xenpodctl stats --no-stream none
	expect_fail_with 'needs a terminal' xenpodctl top </dev/null
	# It draws, shows one pod, and gives the terminal back: \E[?1049l leaves the screen that it took.
	said=$($terminal '=30x130' '+sorted by cpu' '+running' -s '+memory' '-\r' '+container' '+main' -q -- xenpodctl top -i 0.5)
	[[ $said == *$'\e[?1049h'*$'\e[?1049l'* ]] || fail "$(cat -v <<<"$said")"
	said=$($terminal '=30x130' '+sorted by cpu' -- timeout --foreground 3 xenpodctl top || true)
	[[ $said == *$'\e[?1049l'* ]] || fail "after SIGTERM: $(cat -v <<<"$said")"
	gone f
	no_leftovers
}
