# Streams: logs, exec, attach, port-forward, and how they keep out of each other's way.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

test_logs_by_lines_by_time_and_of_the_run_before() {
	running l sh -c 'echo one; echo two; sleep 2; echo three; echo four >&2; exec sleep 100000'
	within 20 sh -c 'xenpodctl logs l | grep -q three'
	local began
	began=$(xenpodctl logs -t l | sed -n 's/Z three$/Z/p')
	expect_equal 'two three' "$(xenpodctl logs --tail 3 l 2>/dev/null | xargs)"
	expect_equal four "$(xenpodctl logs --tail 1 l 2>&1)"
	expect_equal three "$(xenpodctl logs --since "$began" l 2>/dev/null)"
	expect_equal 'one two three' "$(xenpodctl logs --since 1h l 2>/dev/null | xargs)"
	xenpodctl logs -t --tail 4 l 2>/dev/null | grep -qE '^20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z one$' || fail "no time: $(xenpodctl logs -t l)"
	expect_fail_with 'container main has no previous run' xenpodctl logs --previous l
	expect_fail_with 'neither a time ago' xenpodctl logs --since tomorrow l
	expect_fail_with 'cannot be used with' xenpodctl logs -f -p l
	expect_ok xenpodctl stop -t 0 l
	expect_ok xenpodctl start l
	expect_equal 'one two three' "$(xenpodctl logs --previous l 2>/dev/null | xargs)"
	expect_equal three "$(xenpodctl logs --previous --tail 2 l 2>/dev/null)"
	gone l
	no_leftovers
}

terminal=/opt/lab/suites/terminal

# made NAME FILTER [COMMAND...]: a pod whose container FILTER has changed runs.
made() {
	local name=$1 filter=$2
	shift 2
	pod "$name" base "$@" | jq ".spec.containers[0] |= . + $filter" >"/run/$name.json"
	expect_ok xenpodctl create -f "/run/$name.json"
	rm "/run/$name.json"
	expect_ok xenpodctl start "$name"
}

# bus POD OBJECT METHOD SIGNATURE [ARGUMENT...]: OBJECT is empty, or /container/NAME.
bus() {
	local path object=$2
	path=$(busctl call org.xenpod1 /org/xenpod1 org.xenpod1.Manager GetPod s "$1" | cut -d'"' -f2)
	local interface=org.xenpod1.Pod
	[ -z "$object" ] || interface=org.xenpod1.Container
	shift 2
	busctl call org.xenpod1 "$path$object" $interface "$@"
}

test_attach_writes_and_reads_as_often_as_one_likes() {
	made a '{stdin: true}' cat
	expect_equal one "$(echo one | timeout 5 xenpodctl attach a || true)"
	expect_equal two "$(echo two | timeout 5 xenpodctl attach a || true)"
	expect_equal running "$(state a)"
	expect_equal 'one two' "$(xenpodctl logs a | xargs)"
	systemctl restart xenpodd
	expect_equal 'one two three' "$(echo three | timeout 5 xenpodctl attach --logs a | xargs)"
	expect_ok xenpodctl stop -t 0 a
	expect_fail_with 'cannot attach to it while it is stopped: start it first' xenpodctl attach a
	gone a
}

test_the_end_of_input_is_passed_on() {
	made once '{stdin: true, stdinOnce: true}' sh -c 'cat; echo over; exit 7'
	printf 'x\ny' >/run/said
	expect_equal "$(printf 'x\nyover')" "$(xenpodctl attach once </run/said)"
	within 20 is_state once stopped
	expect_equal 7 "$(field once '.containers[0].exit_code')"
	gone once
	expect_equal 'a b' "$(printf 'a\nb\n' | xenpodctl run --rm -i base cat | xargs)"
	expect_status 4 xenpodctl run --rm -i base sh -c 'exit 4'
	expect_equal abc "$(xenpodctl run --rm -i base sh -c 'sleep 1; cat' <<<abc)"
	no_leftovers
}

test_what_a_container_has_not_is_refused_by_name() {
	running none
	expect_fail_with 'container main of pod none has no standard input' bus none /container/main Attach 'a{sv}' 1 stdin b true
	expect_fail_with 'has no terminal' bus none /container/main Resize 'uua{sv}' 5 5 0
	expect_fail_with 'there is no option colour' bus none /container/main Attach 'a{sv}' 1 colour s red
	expect_fail_with '0 is not a port' bus none '' PortForward 'qa{sv}' 0 0
	expect_fail_with 'cannot connect to port 81 of the pod: connection refused' bus none '' PortForward 'qa{sv}' 81 0
	pod bad base cat | jq '.spec.containers[0].stdinOnce = true' >/run/bad.json
	expect_fail_with 'spec.containers[0].stdinOnce' xenpodctl create -f /run/bad.json
	expect_fail_with 'keys are single characters' xenpodctl exec --detach-keys ctrl-1 none -- true
	gone none
}

test_a_terminal_with_its_size_and_left_alone() {
	local said
	said=$($terminal =31x97 '+# ' '-stty size; tty\n' '+/dev/pts/0' '+# ' =20x60 '-sleep 1; stty size\n' '+20 60' '+# ' '-\x10\x11' \
		-- xenpodctl run -it --name tt base sh) || fail "it ended with $?: $said"
	[[ $said == *'31 97'* ]] || fail "not its size: $said"
	[[ $said == *'detached from pod tt'* ]] || fail "not left: $said"
	expect_equal running "$(state tt)"
	# It is there for the next one, who ends it.
	expect_status 5 $terminal '-echo $((40 + 2))\n' +42 '-exit 5\n' -- xenpodctl attach tt
	within 20 is_state tt stopped
	gone tt

	running e
	expect_status 0 $terminal '+ready' '-\x10\x11' +detached -- xenpodctl exec -it e -- sh -c 'echo ready; exec sleep 54321'
	expect_output 54321 xenpodctl exec e -- sh -c 'cat /proc/[0-9]*/cmdline | tr "\0" " "'
	# Without a terminal they are bytes as others.
	expect_equal "$(printf 'a\x10\x11b' | md5sum)" "$(printf 'a\x10\x11b' | xenpodctl exec -i e -- cat | md5sum)"
	gone e
	no_leftovers
}

test_two_hundred_short_containers_and_each_ones_output_is_complete() {
	local round
	for round in 1 2 3 4; do
		pod short base sh -c 'seq 1 300; echo end >&2' | jq '.metadata.annotations["xenpod.org/memory"] = "96Mi"
			| .spec.containers = [range(50) as $n | .spec.containers[0] + {name: "c\($n)"}]' >/run/short.json
		expect_ok xenpodctl create -f /run/short.json
		expect_ok xenpodctl start short
		expect_equal stopped "$(timeout 120 xenpodctl wait short >/dev/null; state short)"
		# As on disk: 300 lines in order and one of the other stream, for each of the fifty.
		for file in /var/lib/xenpod/pods/"$(field short .id)"/logs/c*.log; do
			awk '$2 == "stdout" && ($3 != "F" || $4 != ++n) { exit 1 } $2 == "stderr" { e += $4 == "end" } END { exit !(n == 300 && e == 1) }' \
				"$file" || fail "round $round: $file is not complete: $(tail -n 3 "$file")"
			echo "$file"
		done >/run/files
		expect_equal 50 "$(wc -l </run/files)" "round $round"
		gone short
	done
	rm /run/short.json /run/files
	no_leftovers
}

test_short_commands_and_each_ones_output_is_complete() {
	running x
	local i out
	for ((i = 0; i < ${STREAMS_EXECS:-40}; i++)); do
		out=$(xenpodctl exec x -- sh -c "echo $i; seq 1 100; exit 3") && fail "no status of $i"
		expect_equal "$(echo $i; seq 1 100)" "$out" "command $i"
	done
	gone x
}

# numbered BLOCK N: N blocks, each with its number before it.
numbered='i=0; while [ $i -lt $2 ]; do i=$((i + 1)); echo $i; cat $1; done'

test_much_through_one_command_while_another_ones_reader_sleeps() {
	local mib=${STREAMS_MIB:-48} began took sleeper
	running big
	head -c 1048576 /dev/urandom >/run/block
	xenpodctl exec -i big -- sh -c 'cat >/tmp/block' </run/block
	# Both of these come to stand: their readers do not read.
	rm -f /run/wake
	xenpodctl exec big -- seq 1 300000 | (within 600 test -e /run/wake; cat) >/run/slept &
	sleeper=$!
	xenpodctl exec big -- yes | sleep 600 &
	local never=$!
	sleep 1
	began=${EPOCHREALTIME/./}
	cmp <(xenpodctl exec big -- sh -c "$numbered" numbered /tmp/block "$mib") <(sh -c "$numbered" numbered /run/block "$mib") ||
		fail 'other bytes came out'
	took=$((${EPOCHREALTIME/./} - began))
	echo "$mib MiB out in $((took / 1000)) ms"
	began=${EPOCHREALTIME/./}
	expect_equal "$(sh -c "$numbered" numbered /run/block $((mib / 4)) | md5sum)" \
		"$(sh -c "$numbered" numbered /run/block $((mib / 4)) | xenpodctl exec -i big -- md5sum)"
	took=$((${EPOCHREALTIME/./} - began))
	echo "$((mib / 4)) MiB in, in $((took / 1000)) ms"
	expect_equal hello "$(xenpodctl exec big -- echo hello)"
	touch /run/wake
	wait $sleeper || fail 'the reader that slept got no end'
	cmp /run/slept <(seq 1 300000) || fail 'what the reader that slept got is not what was written'
	kill $never
	gone big
	rm -f /run/block /run/slept /run/wake
	no_leftovers
}

test_ports_of_a_pod_from_here() {
	made w '{}' sh -c 'mkdir /tmp/www; echo a page >/tmp/www/index.html; head -c 3000000 /dev/urandom >/tmp/www/big
		md5sum </tmp/www/big; nc -ll -p 9000 -e sh -c "cat; echo over" & exec httpd -f -p 127.0.0.1:8080 -h /tmp/www'
	within 20 sh -c 'xenpodctl logs w | grep -q -- -'
	xenpodctl port-forward w :8080 :81 :9000 >/run/forwards 2>/run/forwards-said &
	local forward=$! web closed echoes i
	within 10 sh -c '[ $(wc -l </run/forwards) = 3 ]'
	web=$(sed -nE 's/.* from (.*) to port 8080 .*/\1/p' /run/forwards)
	closed=$(sed -nE 's/.* from (.*) to port 81 .*/\1/p' /run/forwards)
	echoes=$(sed -nE 's/.* from 127.0.0.1:(.*) to port 9000 .*/\1/p' /run/forwards)
	[[ $web == 127.0.0.1:* ]] || fail "not on loopback: $(cat /run/forwards)"
	expect_equal 'a page' "$(curl -sS "http://$web/")"
	expect_equal "$(xenpodctl logs w | head -n 1)" "$(curl -sS "http://$web/big" | md5sum)"
	# Several at a time, and one that is never read does not matter to them.
	curl -sS --limit-rate 1k "http://$web/big" -o /dev/null &
	local slow=$! others=()
	for i in 1 2 3 4; do
		curl -sS "http://$web/big" -o "/run/got$i" & others+=($!)
	done
	wait "${others[@]}"
	kill $slow
	for i in 1 2 3 4; do
		expect_equal "$(xenpodctl logs w | head -n 1)" "$(md5sum <"/run/got$i")"
	done
	# The end of what is sent is passed on, and what comes after it is received.
	expect_equal 'said over' "$(python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"said\n")
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())' "$echoes" | xargs)"
	! curl -sS "http://$closed/" 2>/dev/null || fail 'somebody is there'
	expect_output 'cannot connect to port 81 of the pod: connection refused' cat /run/forwards-said
	expect_ok xenpodctl stop -t 0 w
	local status=0
	wait $forward || status=$?
	expect_equal 125 $status
	expect_output 'pod w is stopped' cat /run/forwards-said
	expect_fail_with 'while it is stopped' xenpodctl port-forward w 8080
	gone w
	rm -f /run/forwards /run/forwards-said /run/got*
	no_leftovers
}

# in_journal POD-ID FILTER: the journal has an entry of that pod's containers.
in_journal() {
	journalctl --no-pager -o json POD_ID="$1" _COMM=xenpodd | jq -e -s "any(.[]; $2)"
}

test_output_in_the_journal_as_well() {
	pod j base sh -c 'echo to the journal; echo worse >&2; exec sleep 100000' |
		jq '.metadata.annotations["xenpod.org/log-journald"] = "true"' >/run/j.json
	expect_ok xenpodctl create -f /run/j.json
	expect_ok xenpodctl start j
	running quiet sh -c 'echo not to the journal; exec sleep 100000'
	local id
	id=$(field j .id)
	within 20 in_journal "$id" '.MESSAGE == "to the journal" and .POD == "j" and .CONTAINER == "main" and .STREAM == "stdout" and .PRIORITY == "6"'
	within 20 in_journal "$id" '.MESSAGE == "worse" and .STREAM == "stderr" and .PRIORITY == "3" and .SYSLOG_IDENTIFIER == "j/main"'
	expect_equal 'to the journal' "$(xenpodctl logs j 2>/dev/null)"
	! in_journal "$(field quiet .id)" '.MESSAGE == "not to the journal"' || fail 'nobody asked for that'
	jq '.metadata |= (.name = "k" | .annotations["xenpod.org/log-journald"] = "maybe")' /run/j.json >/run/k.json
	expect_fail_with '"maybe" is neither "true" nor "false"' xenpodctl create -f /run/k.json
	gone j quiet
	rm /run/[jk].json
	no_leftovers
}
