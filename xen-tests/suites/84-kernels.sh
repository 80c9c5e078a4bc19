# Kernels that administrators bring: checked when they come, pinned by pods, and none of it disturbs a pod that runs.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

store=/var/lib/xenpod/kernels
config=/usr/lib/xenpod/vmlinux.config

setup() {
	install -d -m 0755 /run/kernels
	# The same kernel but for its own word on who built it.
	LC_ALL=C sed 's/xenpod@xenpod/xenpod@fridge/g' /usr/lib/xenpod/vmlinux >/run/kernels/other
	! cmp -s /usr/lib/xenpod/vmlinux /run/kernels/other
	local user
	for user in pa pb; do
		useradd -M -G xenpod $user
	done
	remember_world
}

digest_of() {
	echo "sha256:$(sha256sum "$1" | cut -d' ' -f1)"
}

# kernel NAME FILTER: one thing of what is known of it.
kernel() {
	xenpodctl kernel inspect "$1" | jq -r ".[0]$2"
}

# on KERNEL NAME: a pod of that name runs on that kernel.
on() {
	pod "$2" base sleep 100000 | jq --arg kernel "$1" '.metadata.annotations["xenpod.org/kernel"] = $kernel' >/run/on.json
	expect_ok xenpodctl create -f /run/on.json
	expect_ok xenpodctl start "$2"
	rm /run/on.json
}

# built_by POD: who built the kernel that it runs on.
built_by() {
	xenpodctl exec "$1" -- cat /proc/version | sed -E 's/.*version [^ ]+ \(([^)]*)\).*/\1/'
}

test_a_kernel_is_imported_and_a_pod_runs_on_it() {
	local digest packaged
	digest=$(digest_of /run/kernels/other) packaged=$(digest_of /usr/lib/xenpod/vmlinux)
	expect_equal "packaged $packaged given true" "$(kernel packaged '| "\(.name) \(.digest) \(.checked) \(.default)"')"
	expect_equal "$digest" "$(xenpodctl kernel import --config $config /run/kernels/other)"
	expect_equal "$digest" "$(xenpodctl kernel import --config $config /run/kernels/other)" 'the same again'
	expect_fail_with 'these are the bytes of kernel other' xenpodctl kernel import --config $config /run/kernels/other twin
	expect_equal "other given y 6.1." "$(kernel other '| "\(.name) \(.checked) \(.options.EROFS_FS) \(.version[:4])"')"
	expect_output 'other' xenpodctl kernel ls
	on other guest
	expect_equal xenpod@fridge "$(built_by guest)"
	expect_equal "other $digest" "$(field guest '| "\(.kernel) \(.kernel_digest)"')"
	expect_equal '["guest"]' "$(xenpodctl kernel inspect "$digest" | jq -c '.[0].used_by')"
	# xl tells the same.
	expect_output "$store/${digest#sha256:}" xl list -l guest
	expect_fail_with 'kernel other is used by guest' xenpodctl kernel rm other
	systemctl restart xenpodd
	expect_equal "other $digest" "$(field guest '| "\(.kernel) \(.kernel_digest)"')" 'after a restart of the daemon'
	gone guest
	expect_equal other "$(xenpodctl kernel rm other)"
	expect_fail_with 'no kernel has the name or digest' xenpodctl kernel rm other
	no_leftovers
}

test_the_default_changes_and_pods_stay_as_they_are() {
	local packaged domid before
	packaged=$(digest_of /usr/lib/xenpod/vmlinux)
	running old
	domid=$(field old .domid)
	before=$(xenpodctl --json events | tail -n 1 | jq .number)
	expect_ok xenpodctl kernel import --default --config $config /run/kernels/other
	expect_equal other "$(xenpodctl kernel default)"
	expect_equal 'kernel-added kernel-default' \
		"$(xenpodctl --json events --since "$before" | jq -r .type | grep ^kernel | xargs)"
	expect_equal "$domid xenpod@xenpod $packaged" "$(field old .domid) $(built_by old) $(field old .kernel_digest)"
	running new
	expect_equal "xenpod@fridge $(digest_of /run/kernels/other)" "$(built_by new) $(field new .kernel_digest)"
	# It starts again with what it pins.
	expect_ok xenpodctl stop old
	systemctl restart xenpodd
	expect_ok xenpodctl start old
	expect_equal "xenpod@xenpod $packaged" "$(built_by old) $(field old .kernel_digest)"
	expect_fail_with 'kernel other is the default; make another one the default first' xenpodctl kernel rm other
	expect_equal packaged "$(xenpodctl kernel default packaged)"
	expect_fail_with 'kernel other is used by new; remove' xenpodctl kernel rm other
	expect_fail_with "is the package's own" xenpodctl kernel rm packaged
	gone old new
	expect_ok xenpodctl kernel rm other
	no_leftovers
}

test_a_new_package_leaves_the_pods_their_kernel() {
	local packaged
	packaged=$(digest_of /usr/lib/xenpod/vmlinux)
	running stays
	running sleeps
	expect_ok xenpodctl stop sleeps
	mv /usr/lib/xenpod/vmlinux /run/kernels/shipped
	cp /run/kernels/other /usr/lib/xenpod/vmlinux
	systemctl restart xenpodd
	expect_equal "$(digest_of /run/kernels/other)" "$(kernel packaged .digest)"
	expect_equal 'sleeps stays' "$(kernel "$packaged" '.used_by | join(" ")')"
	expect_equal xenpod@xenpod "$(built_by stays)"
	expect_ok xenpodctl start sleeps
	expect_equal "xenpod@xenpod $packaged" "$(built_by sleeps) $(field sleeps .kernel_digest)"
	expect_equal xenpod@fridge "$(xenpodctl run --rm base cat /proc/version | grep -o 'xenpod@fridge')"
	gone stays sleeps
	# Nobody pins it any more.
	within 5 test ! -e $store/"${packaged#sha256:}"
	expect_fail_with 'no kernel has the name or digest' xenpodctl kernel inspect "$packaged"
	mv /run/kernels/shipped /usr/lib/xenpod/vmlinux
	systemctl restart xenpodd
	expect_equal "$packaged" "$(kernel packaged .digest)"
	no_leftovers
}

# bad TEXT ARGUMENTS: such an import is refused, saying TEXT, and leaves nothing.
bad() {
	local text=$1
	shift
	expect_fail_with "$text" xenpodctl kernel import "$@"
	expect_equal "$files" "$(ls -A $store)" 'files of kernels'
}

test_what_is_no_kernel_for_pods_is_refused_and_leaves_nothing() {
	local files other=/run/kernels/other
	files=$(ls -A $store)
	bad 'scripts/extract-vmlinux' "$(ls /boot/vmlinuz-* | head -n 1)" bad
	gzip -c $other >/run/kernels/packed
	bad 'it is gzip data' /run/kernels/packed bad
	bad 'has no PVH entry note' /bin/true bad
	head -c 3000000 $other >/run/kernels/cut
	bad 'cut short by the end of the file' /run/kernels/cut bad
	bad 'must be of a regular file' /dev/zero bad
	bad 'is taken by nobody' --config $config $other 'is taken by nobody'
	bad 'are for the package' --config $config $other packaged-mine
	bad 'holds no configuration (CONFIG_IKCONFIG) and none was given' $other bad
	sed 's/^CONFIG_EROFS_FS=y/CONFIG_EROFS_FS=m/; /^CONFIG_SECCOMP_FILTER=/d' $config >/run/kernels/config
	bad 'was built without CONFIG_EROFS_FS=y (images; it has it as a module, which nothing loads), CONFIG_SECCOMP_FILTER=y' \
		--config /run/kernels/config $other bad
	sed 's/6\.1\.[0-9]* Kernel/6.12.1 Kernel/' $config >/run/kernels/config
	bad 'is of Linux 6.12.1, and this is Linux 6.1.' --config /run/kernels/config $other bad
	bad 'has no line CONFIG_' --config /etc/hostname $other bad
	# Killed in the middle. Neither the wait for it nor the kill may take a while.
	cp $other /run/kernels/long
	truncate -s 100M /run/kernels/long
	local daemon
	daemon=$(systemctl show -p MainPID --value xenpodd)
	xenpodctl kernel import --config $config /run/kernels/long bad >/dev/null 2>&1 &
	until compgen -G "$store/.new-*" >/dev/null; do
		kill -0 $! || fail 'the import was over before it could be seen'
	done
	kill -KILL "$daemon"
	wait $! || true
	within 20 xenpodctl kernel ls
	expect_equal "$files" "$(ls -A $store)" 'files of kernels after a crash'
	# Whoever knows better may say so, and it is seen.
	expect_ok xenpodctl kernel import --unchecked $other known
	expect_equal 'unchecked {}' "$(kernel known '| "\(.checked) \(.options)"')"
	expect_ok xenpodctl kernel rm known
	rm /run/kernels/{packed,cut,config,long}
	no_leftovers
}

test_parameters_are_those_that_the_host_allows() {
	local at='metadata.annotations.xenpod.org/kernel'
	expect_output 'panic=-1 swiotlb=noforce' xenpodctl run --rm base cat /proc/cmdline
	expect_equal 'loglevel=4 init-on-alloc=1' \
		"$(xenpodctl run --rm --kernel-args 'loglevel=4 init-on-alloc=1' base cat /proc/cmdline | grep -oE 'loglevel.*$')"
	expect_fail_with "$at-args: \"init=/bin/sh\" is not allowed on this host; allowed are quiet, debug" \
		xenpodctl run --rm --kernel-args 'quiet init=/bin/sh' base true
	expect_fail_with "$at-args: \"--\" is no parameter" xenpodctl run --rm --kernel-args 'quiet -- x' base true
	pod none base true | jq '.metadata.annotations["xenpod.org/kernel"] = "none"' >/run/none.json
	expect_fail_with "line 8: $at: no kernel has the name or digest \"none\"" xenpodctl create -f /run/none.json
	rm /run/none.json
	cp -p /etc/xenpod/xenpodd.yaml /run/xenpodd.yaml.shipped
	sed -i 's/^#kernel_args_allowed:.*/kernel_args_allowed: [hung_task_panic]/' /etc/xenpod/xenpodd.yaml
	systemctl restart xenpodd
	expect_output 'hung_task_panic=1' xenpodctl run --rm --kernel-args hung_task_panic=1 base cat /proc/cmdline
	expect_fail_with '"quiet" is not allowed on this host; allowed are hung_task_panic' \
		xenpodctl run --rm --kernel-args quiet base true
	mv /run/xenpodd.yaml.shipped /etc/xenpod/xenpodd.yaml
	systemctl restart xenpodd
	no_leftovers
}

# as USER CMD...
as() {
	local user=$1
	shift
	runuser -u "$user" -- "$@"
}

test_users_choose_kernels_and_do_not_bring_them() {
	expect_ok xenpodctl kernel import --config $config /run/kernels/other
	expect_equal 'other packaged' "$(as pa xenpodctl --json kernel ls | jq -r '.[].name' | xargs)"
	expect_fail_with org.xenpod1.manage-kernels as pa xenpodctl kernel import --config $config /run/kernels/other mine
	expect_fail_with org.xenpod1.manage-kernels as pa xenpodctl kernel rm other
	expect_fail_with org.xenpod1.manage-kernels as pa xenpodctl kernel default other
	expect_ok as pa xenpodctl run -d --name of-a --kernel other base sleep 100000
	within 10 as pa xenpodctl exec of-a -- grep fridge /proc/version
	expect_equal '["of-a"] []' \
		"$(as pa xenpodctl kernel inspect other | jq -c '.[0].used_by') $(as pb xenpodctl kernel inspect other | jq -c '.[0].used_by')"
	# What another's pod pins is not said, but that one does is.
	expect_fail_with 'kernel other is used by of-a' xenpodctl kernel rm other
	cat >/etc/polkit-1/rules.d/50-lab.rules <<-'R'
		polkit.addRule(function(action, subject) {
			if (action.id == "org.xenpod1.choose-kernels" && action.lookup("kernel") == "other" && subject.user == "pb") {
				return polkit.Result.NO;
			}
		});
	R
	systemctl restart polkit
	expect_fail_with org.xenpod1.choose-kernels as pb xenpodctl run --rm --kernel other base true
	expect_ok as pb xenpodctl run --rm --kernel packaged base true
	rm /etc/polkit-1/rules.d/50-lab.rules
	systemctl restart polkit
	expect_ok as pa xenpodctl rm -f of-a
	expect_ok xenpodctl kernel rm other
	no_leftovers
}
