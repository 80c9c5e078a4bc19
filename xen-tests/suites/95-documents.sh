# What is written down: the recipes do what they say, and every page is in the package.
# lab:
# furnish: furnish-pods.sh
# copy: systemd/usr/share/doc/xenpod/recipes.md:/root/

. /opt/lab/suites/pods.sh

setup() {
	useradd -M alice
	usermod -aG xenpod alice
	remember_world
}

test_the_recipes_print_what_they_say() {
	mkdir /run/recipes
	chmod 755 /run/recipes
	cd /run/recipes
	ln -s $fixtures/layout layout
	expect_output "$(grep -cE '^    !?\$ ' /root/recipes.md) commands" python3 /opt/lab/suites/recipes.py /root/recipes.md
	# One that prints something else, one that fails, and one that should.
	local wrong
	for wrong in '$ echo one\n    two' '$ false' '!$ true' '$ echo one' '$ true\n    one'; do
		printf "# Page\n\n    $wrong\n" >wrong.md
		expect_fail_with 'line 3: ' python3 /opt/lab/suites/recipes.py wrong.md
	done
	cd /
	rm -r /run/recipes
	no_leftovers
}

test_every_page_is_in_the_package() {
	local file name
	dpkg -L xenpod >/run/packaged
	for file in man1/xenpodctl.1 man1/xenpodctl-explain.1 man5/xenpod-manifest.5 man5/xenpodd.yaml.5 man7/xenpod-recipes.7 man8/xenpodd.8; do
		grep -qE "^/usr/share/man/$file(\.gz)?$" /run/packaged || fail "$file is not in the package"
	done
	for file in /usr/share/dbus-1/interfaces/org.xenpod1.*.xml; do
		name=$(basename "$file" .xml)
		grep -qE "^/usr/share/man/man5/$name\.5(\.gz)?$" /run/packaged || fail "$name(5) is not in the package"
	done
	# Every verb that --help names has its page, and so have those of `container`.
	for name in $(xenpodctl --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' | grep -vx help); do
		grep -qE "/man1/xenpodctl-$name\.1" /run/packaged || fail "xenpodctl-$name(1) is not in the package"
	done
	rm /run/packaged
}

test_explain_answers_for_fields_and_shells_complete_them() {
	expect_output 'FIELD: spec.containers[].resources.limits <map of quantities>' xenpodctl explain pod.spec.containers.resources.limits
	expect_output '"path": "spec.terminationGracePeriodSeconds"' xenpodctl --json explain terminationGracePeriodSeconds
	expect_equal 30 "$(xenpodctl --json explain terminationGrace | jq -r .default)"
	expect_output 'xenpod refuses it: there is one host' xenpodctl explain spec.nodeName
	expect_fail_with 'spec.containers[].imagePullPolicy' xenpodctl explain spec.containers.imagePullPolcy
	expect_status 2 xenpodctl explain spec.nosuchfield
	expect_output 'xenpod.org/memory <quantity>' xenpodctl explain annotations
	# It asks no daemon.
	expect_ok runuser -u nobody -- env DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent xenpodctl explain pod --recursive
	bash -c '. /usr/share/bash-completion/bash_completion
		. /usr/share/bash-completion/completions/xenpodctl
		COMP_WORDS=(xenpodctl explain spec.containers.liv) COMP_CWORD=2
		_xenpodctl xenpodctl spec.containers.liv explain
		printf "%s\n" "${COMPREPLY[@]}"' | grep -x spec.containers.livenessProbe.tcpSocket.port >/dev/null ||
		fail 'bash does not complete fields'
}
