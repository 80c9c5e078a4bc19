# From an image to a container's output and exit code, by one command.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

test_the_output_is_the_containers() {
	expect_equal hello "$(xenpodctl run --rm base -- echo hello)"
	no_leftovers
}

test_the_exit_code_is_the_containers() {
	expect_status 7 xenpodctl run --rm base -- sh -c 'exit 7'
	expect_status 0 xenpodctl run --rm base true
}

test_errors_go_to_standard_error() {
	xenpodctl run --rm base -- sh -c 'echo out; echo err >&2' >/run/out 2>/run/err
	expect_equal out "$(cat /run/out)"
	expect_equal err "$(cat /run/err)"
}

test_options_reach_the_container() {
	expect_equal 'b c' "$(xenpodctl run --rm -e A=b -e 'D=c' base -- sh -c 'echo $A $D')"
	expect_equal named "$(xenpodctl run --rm --name named base hostname)"
	expect_equal 2 "$(xenpodctl run --rm --cpus 2 --memory 64 base -- grep -c ^processor /proc/cpuinfo)"
	expect_equal '1000 50 /tmp' "$(xenpodctl run --rm -u 1000:50 -w /tmp base -- sh -c 'echo $(id -u) $(id -g) $(pwd)')"
	expect_status 1 xenpodctl run --rm --read-only base touch /file
}

test_a_large_output_is_whole() {
	local wanted
	wanted=$(seq 1 50000 | md5sum)
	expect_equal "$wanted" "$(xenpodctl run --rm base -- seq 1 50000 | md5sum)"
}

test_ten_short_containers_lose_nothing() {
	local i
	for i in $(seq 10); do
		expect_equal "line $i" "$(xenpodctl run --rm --memory 32 base echo "line $i")"
	done
	no_leftovers
}

test_a_pod_lives_in_its_own_domain() {
	local domid
	running one
	domid=$(field one .domid)
	expect_equal "$(field one .id)" "$(xl list -v "$domid" | awk 'NR == 2 { print $7 }')"
	expect_equal "$(field one .id)" "$(basename "$(xenstore-read "/local/domain/$domid/vm")")"
	expect_output one xl list "$domid"
	gone one
	no_leftovers
}

test_a_pods_devices_are_no_trouble_to_udev() {
	running one
	udevadm settle
	expect_equal '' "$(journalctl -b -o cat -t systemd-udevd -t '(udev-worker)' -p warning | grep -E 'vif|vbd|loop' || true)"
	expect_equal '' "$(journalctl -b -o cat | grep 'Invalid command' || true)"
	gone one
	no_leftovers
}

test_containers_of_a_pod_share_its_network_and_nothing_else() {
	cat >/run/two.yaml <<-'Y'
		apiVersion: v1
		kind: Pod
		metadata: {name: two, annotations: {xenpod.org/memory: 64Mi}}
		spec:
		  restartPolicy: Never
		  terminationGracePeriodSeconds: 1
		  containers:
		  - {name: server, image: base, command: [nc, -ll, -p, "7000", -e, echo, from the server]}
		  - {name: client, image: base, command: [sh, -c, "until nc 127.0.0.1 7000 </dev/null; do sleep 0.2; done; sleep 100000"]}
	Y
	expect_ok xenpodctl create -f /run/two.yaml
	expect_ok xenpodctl start two
	within 20 sh -c 'xenpodctl logs two -c client | grep -qx "from the server"'
	expect_fail_with 'choose one with -c' xenpodctl logs two
	expect_ok xenpodctl exec two -c server -- touch /only-here
	expect_status 1 xenpodctl exec two -c client -- test -e /only-here
	gone two
	rm /run/two.yaml
	no_leftovers
}

test_a_container_killed_for_memory_says_so() {
	pod eater base sh -c 'x=a; while :; do x=$x$x; done' | jq '.spec.containers[0].resources.limits.memory = "8Mi"' >/run/eater.json
	expect_status 137 xenpodctl run -f /run/eater.json
	expect_equal OOMKilled "$(field eater '.containers[0].reason')"
	gone eater
	rm /run/eater.json
	no_leftovers
}

test_the_guest_has_entropy() {
	expect_equal 32 "$(xenpodctl run --rm base -- sh -c 'head -c 32 /dev/random | wc -c')"
	[ "$(xenpodctl run --rm base -- md5sum /proc/sys/kernel/random/uuid)" != "$(xenpodctl run --rm base -- md5sum /proc/sys/kernel/random/uuid)" ]
}

test_the_security_defaults_are_a_runtimes() {
	running safe
	expect_equal 00000000a80425fb "$(xenpodctl exec safe -- awk '/^CapEff/ { print $2 }' /proc/self/status)"
	expect_equal 2 "$(xenpodctl exec safe -- awk '/^Seccomp:/ { print $2 }' /proc/self/status)"
	expect_status 1 xenpodctl exec safe -- sh -c 'mount -t tmpfs none /tmp'
	# /proc/kcore of this kernel: it is not built in, and what is not there cannot be read.
	expect_fail_with "can't open '/proc/kcore': No such file or directory" xenpodctl exec safe -- cat /proc/kcore
	gone safe
}
