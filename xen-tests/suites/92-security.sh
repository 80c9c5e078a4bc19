# Who a container runs as and what it may do: looked at from inside.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

setup() {
	mkdir -p /etc/xenpod/seccomp/web
	remember_world
}

# with NAME CONTEXT-OF-POD CONTEXT-OF-CONTAINER [ANNOTATIONS]: a pod of that name runs.
with() {
	pod "$1" base sleep 100000 | jq --argjson pod "$2" --argjson own "$3" --argjson more "${4:-{\}}" \
		'.spec.securityContext = $pod | .spec.containers[0].securityContext = $own | .metadata.annotations += $more' >/run/with.json
	expect_ok xenpodctl create -f /run/with.json
	expect_ok xenpodctl start "$1"
	rm /run/with.json
}

in_it() {
	xenpodctl exec secure -- "$@"
}

status_of() {
	in_it awk -v "key=$1:" '$1 == key { print $2 }' /proc/1/status
}

test_users_groups_and_capabilities() {
	with secure '{"runAsUser": 1000, "runAsGroup": 50, "supplementalGroups": [60], "fsGroup": 70, "runAsNonRoot": true}' \
		'{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}'
	expect_equal '1000 50 50 60 70' "$(in_it sh -c 'echo $(id -u) $(id -g) $(id -G | tr " " "\n" | sort -n)')"
	expect_equal "$(printf %016x $((1 << 12)))" "$(status_of CapBnd)"
	expect_equal 0000000000000000 "$(status_of CapEff)"
	expect_equal '1 2' "$(status_of NoNewPrivs) $(status_of Seccomp)"
	expect_fail_with 'Read-only file system' in_it touch /home/app/x
	gone secure
	no_leftovers
}

test_a_privileged_container_can_all_that_its_domain_can() {
	with secure '{}' '{"privileged": true}'
	expect_equal '000001ffffffffff 0' "$(status_of CapEff) $(status_of Seccomp)"
	expect_ok in_it test -b /dev/xvda
	expect_ok in_it test -c /dev/xen/evtchn
	expect_ok in_it sh -c 'mkdir /m && mount -t tmpfs none /m && umount /m'
	expect_ok in_it sh -c 'echo 1 >/proc/sys/vm/overcommit_memory'
	expect_ok in_it sh -c 'mkdir /sys/fs/cgroup/of-its-own'
	gone secure
	no_leftovers
}

test_another_container_reaches_no_device_but_its_own() {
	with secure '{}' '{}'
	expect_equal 'fd full mqueue null ptmx pts random shm stderr stdin stdout termination-log tty urandom zero' "$(in_it ls /dev | xargs)"
	expect_equal 0 "$(in_it sh -c 'head -c 3 /dev/zero | tr -d "\0" | wc -c')"
	expect_ok in_it sh -c 'echo x >/dev/null && head -c 8 /dev/urandom >/dev/null && head -c 8 /dev/random >/dev/null'
	# It may make the node of the pod's disk, and not open it, wherever it puts it.
	for folder in /dev /tmp /dev/shm; do
		expect_ok in_it mknod $folder/disk b 202 0
		expect_fail_with 'Permission denied' in_it head -c 1 $folder/disk
	done
	expect_fail_with '' in_it sh -c 'echo 1 >/proc/sys/vm/overcommit_memory'
	# A terminal still works.
	expect_output '/dev/pts/0' script -qec 'xenpodctl exec -t secure -- tty' /dev/null
	gone secure
	with secure '{}' '{"procMount": "Unmasked"}'
	expect_equal '' "$(in_it grep -E ' /proc/[a-z]' /proc/mounts || true)"
	expect_equal 00000000a80425fb "$(status_of CapEff)"
	expect_equal 'unlimited 1024 524288' "$(in_it awk '/Max proc/ { print $4 } /Max open/ { print $4, $5 }' /proc/1/limits | xargs)"
	gone secure
	no_leftovers
}

test_devices_limits_and_sysctls() {
	with secure '{"sysctls": [{"name": "kernel.shmmax", "value": "65536"}, {"name": "net.core.somaxconn", "value": "77"}, {"name": "fs.mqueue.msg_max", "value": "11"}]}' \
		'{}' '{"xenpod.org/devices": "/dev/kmsg", "xenpod.org/ulimits": "nofile=64:128,core=0"}'
	expect_ok in_it test -c /dev/kmsg
	expect_equal '64 128 0' "$(in_it sh -c 'echo $(ulimit -Sn) $(ulimit -Hn) $(ulimit -Hc)')"
	expect_equal '65536 77 11' "$(in_it sh -c 'cd /proc/sys; echo $(cat kernel/shmmax net/core/somaxconn fs/mqueue/msg_max)')"
	gone secure
	pod secure base true | jq '.metadata.annotations["xenpod.org/devices"] = "/dev/fuse"' >/run/with.json
	expect_fail_with 'no device in the guest'"'"'s kernel: "/dev/fuse"' xenpodctl run --rm -f /run/with.json
	pod secure base true | jq '.spec.securityContext.sysctls = [{name: "net.no.such", value: "1"}]' >/run/with.json
	expect_fail_with 'cannot set sysctl net.no.such to "1": no such file or directory' xenpodctl run --rm -f /run/with.json
	rm /run/with.json
	no_leftovers
}

test_a_filter_of_the_hosts_own() {
	cat >/etc/xenpod/seccomp/web/no-mkdir.json <<-'J'
		{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
			{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
			{"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_NE"}]},
			{"names": ["sync"], "action": "SCMP_ACT_KILL_PROCESS"}]}
	J
	with secure '{}' '{"seccompProfile": {"type": "Localhost", "localhostProfile": "web/no-mkdir.json"}}'
	# The pod keeps what it was made with.
	rm /etc/xenpod/seccomp/web/no-mkdir.json
	systemctl restart xenpodd
	expect_equal 2 "$(status_of Seccomp)"
	expect_fail_with 'Read-only file system' in_it mkdir /tmp/x
	expect_ok in_it touch /tmp/x
	expect_fail_with 'Operation not permitted' in_it sh -c 'sleep 2 & kill -15 $!'
	expect_ok in_it sh -c 'kill -0 1'
	expect_status 159 in_it sync
	gone secure
	pod secure base true | jq '.spec.containers[0].securityContext.seccompProfile = {type: "Localhost", localhostProfile: "none.json"}' >/run/with.json
	expect_fail_with 'container main: seccomp profile /etc/xenpod/seccomp/none.json: No such file or directory' xenpodctl create -f /run/with.json
	echo '{"defaultAction": "SCMP_ACT_NOTIFY"}' >/etc/xenpod/seccomp/none.json
	expect_fail_with 'none.json: unknown variant `SCMP_ACT_NOTIFY`' xenpodctl create -f /run/with.json
	rm /etc/xenpod/seccomp/none.json /run/with.json
	no_leftovers
}

test_what_is_not_supported_or_makes_no_sense_is_named() {
	refuse() {
		pod secure base true | jq ".spec.containers[0].securityContext = $1" >/run/with.json
		expect_fail_with "$2" xenpodctl create -f /run/with.json
	}
	refuse '{seLinuxOptions: {level: "s0"}}' 'spec.containers[0].securityContext.seLinuxOptions: is not supported; remove it'
	refuse '{appArmorProfile: {type: "RuntimeDefault"}}' 'securityContext.appArmorProfile: is not supported; remove it'
	refuse '{privileged: true, allowPrivilegeEscalation: false}' 'allowPrivilegeEscalation: cannot be false while privileged is true'
	refuse '{capabilities: {add: ["NET_KING"]}}' 'capabilities.add[0]: "NET_KING" is not a capability of Linux'
	refuse '{runAsNonRoot: true}' 'runAsNonRoot is set and the image runs as root: set runAsUser'
	refuse '{procMount: "Some"}' '"Some" is neither Default nor Unmasked'
	rm /run/with.json
	no_leftovers
}
