# The lab itself: a real Xen, a real dom0, and the clock and devices that the tests of the product rely on.
# lab: --no-package
# lab: --no-package --xenstored xenstored
# lab: --no-package --icount

test_xen_is_the_hypervisor() {
	expect_equal xen "$(cat /sys/hypervisor/type)"
	expect_equal 4.17 "$(xl info xen_version | cut -d. -f1,2)"
	expect_output 'hap' xl info virt_caps
}

test_this_is_dom0_and_alone() {
	expect_output control_d cat /proc/xen/capabilities
	expect_equal 'Domain-0' "$(xl list | awk 'NR > 1 { print $1 }')"
}

test_the_xenstored_asked_for_runs() {
	local wanted=oxenstored
	! grep -qw lab.xenstored=xenstored /proc/cmdline || wanted=xenstored
	expect_equal "$wanted" "$(ps -eo comm= | grep -x 'o\?xenstored')"
}

test_xenstore_keeps_what_is_written() {
	xenstore-write /lab/key 'a value'
	expect_equal 'a value' "$(xenstore-read /lab/key)"
	xenstore-rm /lab
	expect_fail_with "couldn't read path" xenstore-read /lab/key
}

test_the_modules_of_a_dom0_are_loaded() {
	local module
	for module in xen_privcmd xen_evtchn xen_gntdev xen_gntalloc xenfs xen_blkback xen_netback loop bridge nf_tables; do
		expect_ok test -d "/sys/module/$module"
	done
	expect_ok test -c /dev/xen/gntdev
}

test_virtio_rng_feeds_the_kernel() {
	expect_output virtio_rng cat /sys/class/misc/hw_random/rng_current
}

# A loaded machine wakes up when it was saved; the lab brings the time along.
test_the_clock_is_the_hosts() {
	local host now
	host=$LAB_HOST_TIME # when the suite began
	now=$(date +%s)
	[ $((now - host)) -ge 0 ] && [ $((now - host)) -lt 600 ] || fail "the host began at $host, here it is $now"
}

test_nothing_failed_to_start() {
	expect_equal running "$(systemctl is-system-running)"
}

test_the_system_bus_and_polkit_answer() {
	expect_output org.freedesktop.DBus busctl --system list
	expect_output CheckAuthorization busctl introspect org.freedesktop.PolicyKit1 /org/freedesktop/PolicyKit1/Authority
}

test_leftovers_are_seen() {
	no_leftovers
	xenstore-write /vm/leftover ''
	expect_status 1 bash -c ". /opt/lab/suites/lib.sh; leftovers_wait=1; no_leftovers"
	no_leftovers '/vm/leftover'
	xenstore-rm /vm/leftover
	no_leftovers
}
