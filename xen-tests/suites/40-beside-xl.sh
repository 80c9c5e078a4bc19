# xl works on the pods' domains, xenpodd sees what it does, and a domain of xl's own is never touched.
# lab:
# lab: --xenstored xenstored

. /opt/lab/suites/pods.sh

setup() {
	import_base
	expect_ok xenpodctl run --rm base true
	cat >/run/other.cfg <<-'C'
		name = "other"
		type = "pvh"
		kernel = "/usr/lib/xenpod/vmlinux"
		memory = 48
		vcpus = 1
		on_crash = "preserve"
		on_poweroff = "preserve"
	C
	remember_world
}

# other_is_untouched ID: xl's own domain is as it was created.
other_is_untouched() {
	expect_equal "$1" "$(xl domid other)"
	expect_equal "$other_tree" "$(xenstore-ls -f "/local/domain/$1" | sort)"
}

test_a_domain_of_xl_is_never_touched() {
	local id other_tree
	expect_ok xl create -p /run/other.cfg
	id=$(xl domid other)
	other_tree=$(xenstore-ls -f "/local/domain/$id" | sort)
	expect_ok xenpodctl run --rm base true
	other_is_untouched "$id"
	systemctl restart xenpodd
	within 20 xenpodctl ps
	other_is_untouched "$id"
	running beside
	other_is_untouched "$id"
	gone beside
	other_is_untouched "$id"
	expect_ok xl destroy other
	no_leftovers
}

test_xl_lists_it() {
	running listed
	local domid
	domid=$(field listed .domid)
	expect_equal "$domid" "$(xl domid listed)"
	within 10 xl list -l "$domid"
	expect_equal "$(field listed .id)" "$(xl list -l "$domid" | jq -r '.[0].config.c_info.uuid')"
	expect_equal pvh "$(xl list -l "$domid" | jq -r '.[0].config.c_info.type')"
	gone listed
	no_leftovers
}

test_xl_console_shows_the_kernel() {
	running consoled
	local said
	said=$( (sleep 2) | timeout 10 script -qec "timeout 3 xl console consoled" /dev/null || true)
	[ -n "$(xenstore-read "/local/domain/$(field consoled .domid)/console/tty")" ]
	gone consoled
	no_leftovers
}

test_xl_pause_and_unpause_are_seen() {
	running paused
	expect_ok xl pause paused
	within 10 is_state paused paused
	expect_ok xl unpause paused
	within 10 is_state paused running
	expect_ok xenpodctl exec paused true
	gone paused
	no_leftovers
}

test_xl_shutdown_ends_it_in_order() {
	running down sh -c 'trap "echo bye; exit 0" TERM; while :; do sleep 0.1; done'
	sleep 1
	expect_ok xl shutdown down
	within 30 is_state down stopped
	expect_equal bye "$(xenpodctl logs down)"
	gone down
	no_leftovers
}

test_xl_destroy_is_noticed_and_told() {
	running destroyed
	expect_ok xl destroy destroyed
	within 20 is_state destroyed failed
	expect_output 'outside' xenpodctl inspect destroyed
	expect_ok xenpodctl rm destroyed
	no_leftovers
}
