# xl works on the pods' domains, xenpodd sees what it does, and a domain of xl's own is never touched.
# lab:
# lab: --xenstored xenstored
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

setup() {
	cat >/run/other.cfg <<-'C'
		type = "pvh"
		kernel = "/usr/lib/xenpod/vmlinux"
		ramdisk = "/usr/lib/xenpod/boot.img"
		cmdline = "console=hvc0 quiet"
		memory = 40
		vcpus = 1
	C
	remember_world
}

# picture NAME: what xl and xenstore know of a domain of xl's own: its number, UUID and all its nodes.
picture() {
	local domid
	domid=$(xl domid "$1")
	echo "domid $domid"
	xl list -v "$domid" | awk 'NR == 2 { print "uuid", $7 }'
	xenstore-ls -fp "/local/domain/$domid"
	xenstore-ls -fp "/local/domain/0/backend" | grep "/$domid/" || true
	xenstore-ls -fp "/libxl/$domid"
}

# other NAME: xl makes a domain, which boots; its picture is taken.
other() {
	expect_ok xl create /run/other.cfg "name=\"$1\""
	# Our guest-init waits in it for a daemon that does not come.
	within 20 xenstore-read "/local/domain/$(xl domid "$1")/data/xenpod/ring-ref"
	picture "$1" >"/run/picture-$1"
}

# untouched NAME...: it runs, and is as it was.
untouched() {
	local name
	for name; do
		xl list "$name" | awk 'NR == 2 { exit $5 !~ /^[r-][b-]----$/ }' || fail "$name does not run: $(xl list "$name")"
		diff "/run/picture-$name" <(picture "$name") || fail "$name is not as it was"
	done
}

test_domains_of_xl_are_never_touched() {
	other before
	running pod
	pod next base sleep 100000 >/run/next.json
	xenpodctl create -f /run/next.json &
	local creating=$!
	other during
	wait $creating
	untouched before during
	expect_ok xenpodctl run --rm base true
	expect_ok xenpodctl start next
	systemctl restart xenpodd
	within 20 is_state pod running
	untouched before during
	kill -9 "$(systemctl show -p MainPID --value xenpodd)"
	within 30 xenpodctl inspect pod
	within 20 is_state pod running
	expect_ok xl destroy next
	within 20 is_state next failed
	gone pod next
	other after
	expect_ok xenpodctl run --rm base true
	untouched before during after
	expect_equal '' "$(xenpodctl ps -aq)"
	xl destroy before && xl destroy during && xl destroy after
	rm /run/next.json /run/picture-*
	no_leftovers
}

# No domain, as a property says it.
none=4294967295

# listed POD: its state, reason and domain, as ps says.
listed() {
	xenpodctl --json ps -a | jq -r --arg pod "$1" '.[] | select(.name == $pod) | "\(.state) \(.reason) \(.domid)"'
}

is_listed() {
	[ "$(listed "$1")" = "$2" ]
}

test_xl_lists_it() {
	running listed
	local domid
	domid=$(field listed .domid)
	expect_equal "$domid" "$(xl domid listed)"
	within 10 xl list -l "$domid"
	expect_equal "$(field listed .id)" "$(xl list -l "$domid" | jq -r '.[0].config.c_info.uuid')"
	expect_equal pvh "$(xl list -l "$domid" | jq -r '.[0].config.c_info.type')"
	expect_equal listed "$(xl list -l | jq -r --argjson domid "$domid" '.[] | select(.domid == $domid) | .config.c_info.name')"
	gone listed
	no_leftovers
}

test_xl_console_shows_the_kernel() {
	local said tty outcome=0
	cp -p /etc/xenpod/xenpodd.yaml /run/xenpodd.yaml.shipped
	# The kernel says nothing while all is well, unless asked to.
	sed -i 's/^#kernel_args: console=hvc0 quiet/kernel_args: console=hvc0/' /etc/xenpod/xenpodd.yaml
	grep -q '^kernel_args: console=hvc0 panic' /etc/xenpod/xenpodd.yaml
	systemctl restart xenpodd
	running one
	running two
	cp -p /run/xenpodd.yaml.shipped /etc/xenpod/xenpodd.yaml
	systemctl restart xenpodd
	tty=$(xenstore-read "/local/domain/$(field one .domid)/console/tty")
	said=$(timeout 3 cat "$tty" | tr -d '\0\r' || true)
	[[ $said == *'Linux version 6.1'* && $said == *'Hypervisor detected: Xen'* ]] || fail "$tty said: $said"
	said=$(script -qec 'timeout --foreground 3 xl console two' /dev/null </dev/null | tr -d '\0\r' || true)
	[[ $said == *'Linux version 6.1'* && $said == *'Hypervisor detected: Xen'* ]] || fail "xl console said: $said"
	gone one two
	rm /run/xenpodd.yaml.shipped
	no_leftovers
}

test_xl_pause_and_unpause_are_seen() {
	running paused
	local domid
	domid=$(field paused .domid)
	expect_equal "running  $domid" "$(listed paused)"
	expect_ok xl pause paused
	within 10 is_listed paused "paused PausedFromOutside $domid"
	expect_fail_with 'paused' xenpodctl exec paused true
	expect_ok xl unpause paused
	within 10 is_listed paused "running  $domid"
	expect_ok xenpodctl exec paused true
	gone paused
	no_leftovers
}

test_xl_shutdown_ends_it_in_order() {
	running down sh -c 'trap "echo bye; exit 0" TERM; while :; do sleep 0.1; done'
	sleep 1
	expect_ok xl shutdown down
	within 30 is_listed down "stopped ShutdownFromOutside $none"
	expect_equal '' "$(xl list | awk '$1 == "down"')"
	expect_equal 'exited 0 Completed' "$(field down '.containers[0] | "\(.state) \(.exit_code) \(.reason)"')"
	expect_equal bye "$(xenpodctl logs down)"
	expect_ok xenpodctl start down
	expect_equal running "$(state down)"
	gone down
	no_leftovers
}

test_xl_destroy_is_noticed_and_told() {
	running destroyed
	expect_ok xl destroy destroyed
	within 20 is_listed destroyed "failed DestroyedFromOutside $none"
	expect_output 'its domain was destroyed from outside' xenpodctl inspect destroyed
	expect_equal 'exited 137' "$(field destroyed '.containers[0] | "\(.state) \(.exit_code)"')"
	expect_ok xenpodctl rm destroyed
	no_leftovers
}
