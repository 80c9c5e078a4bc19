# Pods that change while they run: memory, vCPUs, containers' limits, names, labels.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

# sized NAME MEMORY MAX-CPUS [COMMAND...]: a pod that runs.
sized() {
	local name=$1 memory=$2 cpus=$3
	shift 3
	[ $# -gt 0 ] || set -- sleep 100000
	pod "$name" base "$@" | jq --arg m "$memory" --arg c "$cpus" '.metadata.annotations = {"xenpod.org/memory": $m, "xenpod.org/max-cpus": $c}
		| .metadata.labels = {app: "old", tier: "back"}' >"/run/$name.json"
	expect_ok xenpodctl create -f "/run/$name.json"
	expect_ok xenpodctl start "$name"
}

# meminfo POD FIELD: MiB.
meminfo() {
	xenpodctl exec "$1" -- sed -n "s/^$2: *\([0-9]*\) kB/\1/p" /proc/meminfo | awk '{ print int($1 / 1024) }'
}

# owned POD: MiB that Xen says its domain has, but for what its guest gave back at boot.
owned() {
	xl list "$1" | awk 'NR == 2 { print $3 }'
}

test_memory_grows_is_used_and_is_given_back() {
	local before error
	sized grow 64Mi 1
	before=$(meminfo grow MemTotal)
	expect_equal 'grow: 128 MiB, 1 vCPU' "$(xenpodctl resize --memory 128 grow)"
	[ "$(meminfo grow MemTotal)" -ge $((before + 60)) ] || fail "it has $(meminfo grow MemTotal) MiB, and had $before"
	expect_equal 131072 "$(field grow .memory_kib)"
	# A container uses what it did not have before.
	expect_ok xenpodctl exec grow -- dd if=/dev/zero of=/dev/shm/held bs=1M count=60
	# It is in use now: nothing is killed for a smaller pod.
	error=$(XENPODCTL_ERROR_NAMES=1 xenpodctl resize --memory 64 grow 2>&1) && fail "it shrank: $error"
	[[ $error == *'cannot shrink it to 64 MiB: its containers use the memory; '*' MiB is the least now'* ]] || fail "$error"
	[[ $error == *org.xenpod1.Error.MemoryInUse* ]] || fail "$error"
	expect_equal 131072 "$(field grow .memory_kib)"
	expect_equal 62914560 "$(xenpodctl exec grow -- sh -c 'wc -c </dev/shm/held')"
	expect_ok xenpodctl exec grow -- rm /dev/shm/held
	expect_equal '{"memory_kib":65536,"pod":"grow","vcpus":1}' "$(xenpodctl --json resize --memory 64 grow | jq -cS .)"
	[ "$(owned grow)" -le 64 ] || fail "Xen says it has $(owned grow) MiB"
	[ "$(meminfo grow MemTotal)" -le $((before + 3)) ] || fail "it has $(meminfo grow MemTotal) MiB, and had $before"
	is_state grow running
	expect_fail_with 'MiB is no size of a domain' xenpodctl resize --memory 3 grow
	expect_fail_with 'memory' xenpodctl resize --memory 9000000 grow
	# The next start has the size as well.
	expect_ok xenpodctl stop grow
	expect_ok xenpodctl resize --memory 72 grow
	expect_ok xenpodctl start grow
	[ "$(meminfo grow MemTotal)" -gt $((before + 5)) ] || fail "it has $(meminfo grow MemTotal) MiB, and had $before"
	gone grow
	no_leftovers
}

test_vcpus_come_and_go() {
	sized smp 64Mi 2
	expect_equal 1 "$(xenpodctl exec smp -- nproc)"
	expect_equal 'smp: 64 MiB, 2 vCPUs' "$(xenpodctl resize --cpus 2 smp)"
	within 10 sh -c '[ "$(xenpodctl exec smp -- nproc)" = 2 ]'
	expect_equal 'smp: 64 MiB, 1 vCPU' "$(xenpodctl resize --cpus 1 smp)"
	expect_equal 1 "$(xenpodctl exec smp -- nproc)"
	expect_equal '1 2' "$(field smp '| "\(.vcpus) \(.max_vcpus)"')"
	expect_fail_with 'built with room for 2; stop it first' xenpodctl resize --cpus 3 smp
	gone smp
	no_leftovers
}

test_a_containers_limits_change_while_it_runs() {
	local limit='cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max' error
	sized cap 64Mi 1
	expect_equal max "$(xenpodctl exec cap -- sh -c "$limit" | head -1)"
	expect_ok xenpodctl container update --memory 24Mi --cpus 0.5 cap main
	expect_equal '25165824,50000 100000' "$(xenpodctl exec cap -- sh -c "$limit" | paste -sd,)"
	expect_ok xenpodctl exec cap -- dd if=/dev/zero of=/dev/shm/held bs=1M count=12
	error=$(XENPODCTL_ERROR_NAMES=1 xenpodctl container update --memory 8Mi cap main 2>&1) && fail "$error"
	[[ $error == *'cannot be limited to 8388608'*org.xenpod1.Error.MemoryInUse* ]] || fail "$error"
	expect_equal 25165824 "$(xenpodctl exec cap -- sh -c "$limit" | head -1)"
	is_state cap running
	expect_ok xenpodctl container update --memory 0 cap main
	expect_equal max "$(xenpodctl exec cap -- sh -c "$limit" | head -1)"
	gone cap
	no_leftovers
}

test_name_and_labels_change_and_outlive_the_daemon() {
	local id domid
	sized box 48Mi 1
	id=$(field box .id) domid=$(xl domid box)
	expect_ok xenpodctl rename box shop
	expect_equal "$domid" "$(xl domid shop)"
	expect_equal shop "$(xenstore-read "/vm/$id/name")"
	expect_ok xenpodctl label shop app=new tier- zone=a
	expect_ok xenpodctl annotate shop 'note=as it is'
	expect_fail_with 'is not a label' xenpodctl label shop 'a=b c'
	expect_fail_with 'xenpod.org/memory is decided when a pod is made' xenpodctl annotate shop xenpod.org/memory=1Gi
	expect_fail_with 'box' xenpodctl inspect box
	running box
	expect_fail_with 'a pod named box exists already' xenpodctl rename shop box
	expect_fail_with 'is not a name' xenpodctl rename shop No_Name
	systemctl restart xenpodd
	within 20 is_state shop running
	expect_equal "$id" "$(field shop .id)"
	expect_equal '{"app":"new","zone":"a"}' "$(field shop .labels | jq -cS .)"
	expect_equal 'as it is' "$(field shop '.annotations.note')"
	expect_output 'pod-renamed' xenpodctl events --filter pod=shop
	expect_output 'pod-updated' xenpodctl events --filter label=zone=a
	gone shop box
	no_leftovers
}
