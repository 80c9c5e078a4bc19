# Pods outlive their daemon: stopped, restarted, killed.
# lab:
# lab: --xenstored xenstored
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

counting='i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done'

# in_step POD: the numbers it printed follow one another, and there are more of them than before.
in_step() {
	local last
	xenpodctl logs "$1" >/run/numbers
	awk '$1 != NR { print "line " NR " is " $1; exit 1 }' /run/numbers || fail "lost or doubled: $(awk '$1 != NR' /run/numbers | head -n 1)"
	last=$(tail -n 1 /run/numbers)
	sleep 2
	[ "$(xenpodctl logs "$1" | tail -n 1)" -gt "$last" ] || fail "it stands still at $last"
}

test_a_restart_touches_no_pod() {
	running r sh -c "$counting"
	local domid
	domid=$(field r .domid)
	systemctl restart xenpodd
	expect_equal "$domid" "$(field r .domid)"
	expect_equal running "$(state r)"
	in_step r
	expect_ok xenpodctl exec r true
	gone r
	no_leftovers
}

test_a_killed_daemon_finds_its_pods() {
	running k sh -c "$counting"
	local domid
	domid=$(field k .domid)
	kill -9 "$(systemctl show -p MainPID --value xenpodd)"
	within 30 xenpodctl inspect k
	within 20 is_state k running
	expect_equal "$domid" "$(field k .domid)"
	in_step k
	gone k
	no_leftovers
}

test_what_ended_meanwhile_is_told() {
	running m sh -c 'sleep 2; exit 9'
	systemctl stop xenpodd
	sleep 4
	systemctl start xenpodd
	within 20 is_state m stopped
	expect_equal 9 "$(field m '.containers[0].exit_code')"
	gone m
	no_leftovers
}

test_a_domain_destroyed_meanwhile_is_told() {
	running d
	systemctl stop xenpodd
	xl destroy d
	systemctl start xenpodd
	within 20 is_state d failed
	gone d
	no_leftovers
}
