# Without Xen the daemon says so, stays up for `xenpodctl doctor`, and touches nothing.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

export XENPODCTL_ERROR_NAMES=1

# host PROPERTY: of the Manager.
host() {
	busctl --json=short get-property org.xenpod1 /org/xenpod1 org.xenpod1.Manager "$1" | jq -r .data
}

# hide: the daemon is started anew with Xen's devices out of its sight. A suite's machine is its own: nothing to undo if we fail.
hide() {
	mkdir -p /run/systemd/system/xenpodd.service.d
	printf '[Service]\nInaccessiblePaths=/dev/xen /proc/xen\n' >/run/systemd/system/xenpodd.service.d/hidden.conf
	systemctl daemon-reload
	systemctl restart xenpodd
}

unhide() {
	rm -r /run/systemd/system/xenpodd.service.d
	systemctl daemon-reload
	systemctl restart xenpodd
}

test_the_daemon_says_so_and_stays_up() {
	expect_equal ready "$(host HostState)"
	expect_ok xenpodctl doctor
	hide
	expect_equal no-xen "$(host HostState)"
	[[ $(host HostMessage) == 'Xen is not available: cannot open /dev/xen/privcmd for hypercalls: '*'`xenpodctl doctor`' ]] || fail "$(host HostMessage)"
	expect_equal '' "$(host XenVersion)$(host Xenstored)"
	[[ $(systemctl show -p StatusText --value xenpodd) == 'no-xen: Xen is not available: '* ]] || fail "$(systemctl show -p StatusText xenpodd)"
	local said status=0
	said=$(xenpodctl doctor) || status=$?
	expect_equal 125 $status
	[[ $said == *'ok    daemon: xenpodd answers'* ]] || fail "$said"
	[[ $said == *'fail  xen: Xen is not available: '* && $said == *'boot this machine with Xen'* ]] || fail "$said"
	[[ $said == *'fail  device: /dev/xen/gntdev is not there'*'modprobe xen-gntdev'* ]] || fail "$said"
	pod bad base true >/run/bad.json
	said=$(xenpodctl create -f /run/bad.json 2>&1) && fail "it was created: $said"
	[[ $said == *'Xen is not available: '*'error name: org.xenpod1.Error.NoXen' ]] || fail "$said"
	expect_status 125 xenpodctl run --rm base true
	expect_equal '' "$(xenpodctl ps -aq)"
	expect_output base xenpodctl images
	expect_equal active "$(systemctl is-active xenpodd)"
	expect_equal 0 "$(systemctl show -p NRestarts --value xenpodd)"
	unhide
	expect_equal ready "$(host HostState)"
	expect_equal back "$(xenpodctl run --rm base echo back)"
	rm /run/bad.json
	no_leftovers
}

test_pods_that_run_are_left_alone_meanwhile() {
	running on sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done'
	local domid
	domid=$(field on .domid)
	pod off base true >/run/off.json
	expect_status 0 xenpodctl run -f /run/off.json
	hide
	expect_equal running "$(state on)"
	expect_output 'not looked at since the daemon started: Xen is not available' xenpodctl inspect on
	expect_equal stopped "$(state off)"
	expect_equal "$domid" "$(xl domid on)"
	unhide
	expect_equal running "$(state on)"
	expect_equal "$domid" "$(field on .domid)"
	expect_equal '' "$(field on .message)"
	expect_ok xenpodctl exec on true
	expect_equal '' "$(xenpodctl logs on | awk '$1 != NR')"
	gone on off
	rm /run/off.json
	no_leftovers
}
