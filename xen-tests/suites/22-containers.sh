# What a container is given, as it sees it itself: CPUs, limits, a terminal, a user, and what it must not do.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

# started NAME FILTER [COMMAND...]: a pod that sleeps, or does what is said, its manifest changed by jq, runs.
started() {
	local name=$1 filter=$2
	shift 2
	[ $# -gt 0 ] || set -- sleep 100000
	pod "$name" base "$@" | jq "$filter" >"/run/$name.json"
	expect_ok xenpodctl create -f "/run/$name.json"
	expect_ok xenpodctl start "$name"
	rm "/run/$name.json"
}

# status_of POD: capabilities and so on of its container's own first process.
status_of() {
	xenpodctl exec "$1" -- cat /proc/1/status
}

# says TEXT NAME VALUE: a line of /proc/PID/status.
says() {
	expect_equal "$3" "$(awk -v name="$2:" '$1 == name { $1 = ""; sub(/^ +/, ""); print }' <<<"$1")" "$2"
}

test_all_its_cpus_are_online_and_work() {
	local n cpu
	for n in 2 4; do
		started smp ".metadata.annotations[\"xenpod.org/cpus\"] = \"$n\""
		expect_equal "0-$((n - 1))" "$(xenpodctl exec smp -- cat /sys/devices/system/cpu/online)"
		expect_equal "$n" "$(xenpodctl exec smp -- nproc)"
		expect_equal "$n" "$(field smp .vcpus)"
		expect_equal "$n" "$(xl vcpu-list smp | awk 'NR > 1 && $4 != "-"' | wc -l)"
		for ((cpu = 0; cpu < n; cpu++)); do
			# The 39th field of stat is the CPU that it ran on last.
			expect_equal "$cpu" "$(xenpodctl exec smp -- taskset -c "$cpu" awk '{ print $39 }' /proc/self/stat)"
		done
		gone smp
	done
	no_leftovers
}

test_limits_are_its_cgroups() {
	started limited '.metadata.annotations["xenpod.org/memory"] = "96Mi" | .spec.containers[0].resources =
		{limits: {memory: "20Mi", cpu: "250m"}, requests: {memory: "10Mi", cpu: "100m"}}'
	expect_equal "$((20 << 20)) $((10 << 20)) 25000 100000" \
		"$(xenpodctl exec limited -- sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max memory.low cpu.max)')"
	# A quarter of a CPU: of two seconds, it ran for about half a one.
	local used
	used=$(xenpodctl exec limited -- sh -c 'u() { sed -n "s/usage_usec //p" /sys/fs/cgroup/cpu.stat; }; a=$(u); timeout 2 sh -c "while :; do :; done"; echo $(($(u) - a))')
	[ "$used" -gt 50000 ] && [ "$used" -lt 900000 ] || fail "it used $used us of 2 s"
	expect_status 1 xenpodctl exec limited -- sh -c 'echo max >/sys/fs/cgroup/memory.max'
	gone limited
	started free .
	expect_equal 'max max 100000' "$(xenpodctl exec free -- sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max cpu.max)')"
	gone free
	no_leftovers
}

test_one_killed_for_memory_leaves_the_others() {
	started oom '.metadata.annotations["xenpod.org/memory"] = "96Mi" | .spec.containers += [.spec.containers[0]] |
		.spec.containers[1] += {name: "eater", resources: {limits: {memory: "8Mi"}}, command: ["sh", "-c", "x=a; while :; do x=$x$x; done"]}'
	within 30 sh -c 'xenpodctl --json inspect oom | jq -e ".[0].containers[] | select(.name == \"eater\") | .state == \"exited\""'
	expect_equal '137 9 OOMKilled killed for memory' \
		"$(field oom '.containers[] | select(.name == "eater") | "\(.exit_code) \(.signal) \(.reason) \(.message)"')"
	expect_equal running "$(state oom)"
	expect_ok xenpodctl exec oom -c main -- true
	# What is killed for another reason is not said to be killed for memory.
	expect_ok xenpodctl stop -t 0 oom
	expect_equal 'main 137 Signal' "$(field oom '.containers[] | select(.name == "main") | "\(.name) \(.exit_code) \(.reason)"')"
	gone oom
	no_leftovers
}

test_exec_on_a_terminal() {
	running e
	expect_equal '33 77' "$(script -qec 'stty rows 33 cols 77; xenpodctl exec -it e -- stty size' /dev/null | tr -d '\r\0')"
	# Typed at: a command, an interrupt, an exit code.
	local said status=0
	said=$( (
		sleep 2
		printf 'echo six times seven is $((6 * 7))\nsleep 1000\n'
		sleep 2
		printf '\003'
		sleep 1
		printf 'echo went on after $?; exit 5\n'
		sleep 4
	) | script -qec 'xenpodctl exec -it e -- sh' /dev/null) || status=$?
	expect_equal 5 "$status" "$said"
	[[ $said == *'six times seven is 42'* && $said == *'went on after 130'* ]] || fail "$said"
	expect_equal 0 "$(xenpodctl exec e -- sh -c 'ps | grep -c "[s]leep 1000$"' || true)"
	gone e
	no_leftovers
}

test_a_container_on_a_terminal() {
	started t '.spec.containers[0].tty = true' sh -c 'tty; echo and >&2; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all three; sleep 100000'
	within 20 sh -c 'xenpodctl logs t | grep -q three'
	# A terminal has one stream, and ends lines its own way.
	expect_equal $'/dev/pts/0\r\nand\r\nall three\r' "$(xenpodctl logs t 2>/dev/null)"
	gone t
	no_leftovers
}

test_a_read_only_root() {
	started ro '.spec.containers[0].securityContext.readOnlyRootFilesystem = true | .spec.volumes = [{name: "v", emptyDir: {}}] |
		.spec.containers[0].volumeMounts = [{name: "v", mountPath: "/tmp"}]'
	expect_fail_with 'Read-only file system' xenpodctl exec ro -- touch /file
	expect_fail_with 'Read-only file system' xenpodctl exec ro -- touch /etc/file
	expect_ok xenpodctl exec ro -- touch /tmp/file /dev/shm/file
	expect_fail_with 'ermi' xenpodctl exec ro -- mount -o remount,rw /
	gone ro
	no_leftovers
}

test_user_and_groups() {
	started u '.spec.securityContext = {runAsUser: 1000, runAsGroup: 7, supplementalGroups: [50, 60]}'
	expect_equal 'uid=1000(app) gid=7 groups=50,60' "$(xenpodctl exec u -- id)"
	local status
	status=$(status_of u)
	says "$status" Uid '1000 1000 1000 1000'
	says "$status" Gid '7 7 7 7'
	says "$status" Groups '50 60'
	says "$status" CapEff 0000000000000000
	says "$status" CapPrm 0000000000000000
	says "$status" CapBnd 00000000a80425fb
	expect_equal /home/app "$(xenpodctl exec u -- sh -c 'echo $HOME')"
	expect_status 1 xenpodctl exec u -- touch /file
	gone u
	# One that must not be root and is.
	pod root base true | jq '.spec.containers[0].securityContext.runAsNonRoot = true' >/run/root.json
	expect_fail_with 'root' xenpodctl run --rm -f /run/root.json
	pod root base true | jq '.spec.containers[0].securityContext = {runAsNonRoot: true, runAsUser: 5}' >/run/root.json
	expect_ok xenpodctl run --rm -f /run/root.json
	rm /run/root.json
	no_leftovers
}

test_capabilities_are_a_runtimes() {
	local status
	started default .
	status=$(status_of default)
	says "$status" CapInh 0000000000000000
	says "$status" CapPrm 00000000a80425fb
	says "$status" CapEff 00000000a80425fb
	says "$status" CapBnd 00000000a80425fb
	says "$status" CapAmb 0000000000000000
	says "$status" NoNewPrivs 0
	says "$status" Seccomp 2
	expect_equal "$(grep -E '^(Cap|NoNew|Seccomp:)' <<<"$status")" \
		"$(xenpodctl exec default -- cat /proc/self/status | grep -E '^(Cap|NoNew|Seccomp:)')"
	gone default
	started less '.spec.containers[0].securityContext = {allowPrivilegeEscalation: false, capabilities: {drop: ["ALL"], add: ["NET_BIND_SERVICE"]}}'
	status=$(status_of less)
	says "$status" CapEff 0000000000000400
	says "$status" CapBnd 0000000000000400
	says "$status" NoNewPrivs 1
	expect_status 1 xenpodctl exec less -- chown 5 /tmp
	gone less
	started more '.spec.containers[0].securityContext.capabilities.add = ["SYS_ADMIN"]'
	says "$(status_of more)" CapBnd 00000000a82425fb
	expect_ok xenpodctl exec more -- mount -t tmpfs none /tmp
	gone more
	no_leftovers
}

test_system_calls_are_filtered() {
	started filtered .
	# It needs no capability: only the filter is in its way.
	expect_fail_with 'Operation not permitted' xenpodctl exec filtered -- unshare -U true
	expect_fail_with 'permission denied' xenpodctl exec filtered -- mount -t tmpfs none /tmp
	expect_fail_with 'Operation not permitted' xenpodctl exec filtered -- dmesg
	gone filtered
	started unfiltered '.spec.containers[0].securityContext.seccompProfile.type = "Unconfined"'
	says "$(status_of unfiltered)" Seccomp 0
	expect_ok xenpodctl exec unfiltered -- unshare -U true
	gone unfiltered
	no_leftovers
}

test_the_kernels_own_files_are_out_of_reach() {
	started masked .
	local path
	for path in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_helper; do
		xenpodctl exec masked -- test -e $path || continue
		expect_fail_with 'Read-only file system' xenpodctl exec masked -- sh -c "echo x >$path"
	done
	expect_equal '' "$(xenpodctl exec masked -- cat /proc/timer_list /proc/kcore /proc/keys /proc/sched_debug 2>/dev/null || true)"
	expect_equal '' "$(xenpodctl exec masked -- ls /sys/firmware)"
	expect_status 1 xenpodctl exec masked -- test -e /dev/xvda
	gone masked
	no_leftovers
}
