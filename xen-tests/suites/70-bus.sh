# The bus, as a person with busctl and a program with another library meet it.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

test_busctl_makes_and_removes_a_pod() {
	local said job pod
	said=$(busctl call org.xenpod1 /org/xenpod1 org.xenpod1.Manager CreatePod 'sa{sv}' "$(pod bus base sleep 100000)" 1 start b true)
	job=$(echo "$said" | awk '{ print $2 }' | tr -d '"')
	pod=$(echo "$said" | awk '{ print $3 }' | tr -d '"')
	busctl call org.xenpod1 "$job" org.xenpod1.Job Wait 'a{sv}' 0 | grep -q 'sss "done" "" ""'
	expect_output '"running"' busctl get-property org.xenpod1 "$pod" org.xenpod1.Pod State
	expect_output "$pod" busctl tree org.xenpod1
	said=$(busctl call org.xenpod1 "$pod" org.xenpod1.Pod Remove 'a{sv}' 1 force b true | awk '{ print $2 }' | tr -d '"')
	busctl call org.xenpod1 "$said" org.xenpod1.Job Wait 'a{sv}' 0 | grep -q '"done"'
	no_leftovers
}

test_the_introspection_is_the_documented_one() {
	local interface
	for interface in Manager; do
		expect_output "org.xenpod1.$interface" gdbus introspect --system -d org.xenpod1 -o /org/xenpod1
		expect_ok test -s "/usr/share/dbus-1/interfaces/org.xenpod1.$interface.xml"
	done
}

# monitoring: busctl writes what it sees into /run/signals, from when this returns; its process is $monitor.
monitoring() {
	# It is shown what others are sent, or what the daemon sends to itself where nobody listens.
	busctl monitor --json=short --match "type='signal',sender='org.xenpod1'" >/run/signals 2>/run/monitor &
	monitor=$!
	# It says so once the bus has made it a monitor.
	within 20 grep -q Monitoring /run/monitor
}

test_signals_tell_a_pods_life() {
	local monitor member
	monitoring
	expect_ok xenpodctl run --rm --name told base true
	# The last of all.
	within 20 grep -q '"member":"PodRemoved"' /run/signals
	for member in PodNew JobNew JobRemoved InterfacesAdded InterfacesRemoved; do
		within 20 grep -q "\"member\":\"$member\"" /run/signals
	done
	kill $monitor
	expect_equal 'created starting running stopping stopped' \
		"$(jq -rs '[.[] | select(.member == "StateChanged") | .payload.data[0]] | join("\n")' /run/signals | uniq | xargs)" 'StateChanged'
	expect_equal 'created starting running stopping stopped' "$(jq -rs '[.[] | select(.member == "PropertiesChanged" and
		.payload.data[0] == "org.xenpod1.Pod") | .payload.data[1].State.data // empty] | join("\n")' /run/signals | uniq | xargs)" 'State'
	rm /run/signals /run/monitor
}

# events SINCE: of the pod `ev`, but for its jobs: type and state.
events() {
	xenpodctl --json events --since "$1" --filter pod=ev |
		jq -r 'select(.type != "job-ended") | .type + if .type == "pod-state" then ":" + .attributes.state else "" end' | xargs
}

test_events_are_numbered_kept_and_followed() {
	local began life follower numbers wanted
	began=$(xenpodctl --json events | tail -n 1 | jq .number)
	xenpodctl --json events -f --since "$began" --filter pod=ev >/run/followed &
	follower=$!
	expect_status 3 xenpodctl run --rm --name ev base sh -c 'exit 3'
	within 20 grep -q pod-removed /run/followed
	life=$(events "$began")
	for wanted in pod-created pod-state:created pod-state:starting pod-state:running container-started container-exited pod-state:stopped pod-removed; do
		[[ " $life " == *" $wanted "* ]] || fail "no $wanted in $life"
	done
	[[ $life == "pod-created pod-state:created pod-state:starting "*" pod-removed" ]] || fail "the order is: $life"
	expect_equal 3 "$(xenpodctl --json events --since "$began" --filter type=container-exited | jq -r .attributes.exit_code)"
	expect_equal "$(cat /run/followed)" "$(xenpodctl --json events --since "$began" --filter pod=ev)" 'what was followed'
	# They are there after a restart, and the one who follows goes on.
	systemctl restart xenpodd
	within 20 xenpodctl ps
	expect_equal "$life" "$(events "$began")"
	systemctl kill -s KILL xenpodd
	within 20 xenpodctl ps
	expect_equal "$life" "$(events "$began")" 'after a kill'
	# Other tests count restarts: this one was wanted.
	systemctl reset-failed xenpodd
	running ev
	gone ev
	within 20 sh -c '[ "$(grep -c pod-removed /run/followed)" = 2 ]'
	numbers=$(jq .number /run/followed)
	expect_equal "$(echo "$numbers" | sort -nu)" "$numbers" 'the numbers'
	expect_fail_with 'must be pod=NAME' xenpodctl events --filter colour=red
	kill $follower
	rm /run/followed
}

test_python_speaks_to_it() {
	python3 - <<-'P'
		import dbus
		bus = dbus.SystemBus()
		m = dbus.Interface(bus.get_object("org.xenpod1", "/org/xenpod1"), "org.xenpod1.Manager")
		assert len(m.ListPods({})) == 0
		try:
		    m.GetPod("nothing")
		except dbus.DBusException as e:
		    assert e.get_dbus_name() == "org.xenpod1.Error.NoSuchPod", e.get_dbus_name()
		    assert "nothing" in e.get_dbus_message()
		else:
		    raise SystemExit("GetPod of nothing succeeded")
		objects = dbus.Interface(bus.get_object("org.xenpod1", "/org/xenpod1"), "org.freedesktop.DBus.ObjectManager").GetManagedObjects()
		assert any("org.xenpod1.Image" in i for i in objects.values()), list(objects)
	P
}

test_a_user_sees_only_what_is_his() {
	running mine
	useradd -M stranger 2>/dev/null || true
	expect_equal '' "$(runuser -u stranger -- xenpodctl ps -aq)"
	expect_status 125 runuser -u stranger -- xenpodctl inspect mine
	expect_fail_with '' runuser -u stranger -- xenpodctl rm -f mine
	expect_fail_with '' runuser -u stranger -- busctl get-property org.xenpod1 "$(busctl tree --list org.xenpod1 | grep '/pod/' | head -n 1)" org.xenpod1.Pod Name
	userdel stranger
	expect_equal running "$(state mine)"
	gone mine
}

test_the_unit_is_notified_watched_and_logs_with_fields() {
	expect_equal notify "$(systemctl show -p Type --value xenpodd)"
	[ "$(systemctl show -p WatchdogUSec --value xenpodd)" != 0 ]
	[ -n "$(systemctl show -p StatusText --value xenpodd)" ]
	expect_equal 0 "$(systemctl show -p NRestarts --value xenpodd)"
	running logged
	local id
	id=$(field logged .id)
	gone logged
	within 5 sh -c "journalctl -u xenpodd POD_ID=$id -o cat | grep -q ."
}

# held: what xenpodd holds: open files, resident KiB, threads, jobs that are known.
held() {
	local pid jobs
	pid=$(systemctl show -p MainPID --value xenpodd)
	jobs=$(busctl --json=short call org.xenpod1 /org/xenpod1 org.xenpod1.Manager ListJobs 'a{sv}' 0 | jq '.data[0] | length')
	echo "$(find "/proc/$pid/fd" -type l | wc -l) $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status") $jobs"
}

# files_are NUMBER: so many are open in xenpodd.
files_are() {
	[ "$(held | cut -d' ' -f1)" -le "$1" ]
}

test_a_thousand_clients_that_vanish_leave_nothing() {
	running many sh -c 'while :; do echo line; sleep 5; done'
	# Once, so that what is kept for good is there.
	expect_ok python3 /opt/lab/suites/clients.py 50 many
	sleep 1
	local before after
	before=$(held)
	expect_ok python3 /opt/lab/suites/clients.py 1000 many
	within 20 files_are "${before%% *}"
	after=$(held)
	echo "files, KiB, jobs: $before, then $after"
	[ "$(echo "$after" | cut -d' ' -f2)" -lt $(($(echo "$before" | cut -d' ' -f2) + 4096)) ] || fail "memory: $before, then $after"
	expect_equal "$(echo "$before" | cut -d' ' -f3)" "$(echo "$after" | cut -d' ' -f3)" 'jobs'
	expect_equal running "$(state many)"
	expect_equal 0 "$(systemctl show -p NRestarts --value xenpodd)"
	gone many
	no_leftovers
}
