# Owners: two users who are not root, and root. What there is to try comes from the installed XML, so that nothing new is forgotten.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

owners=/opt/lab/suites/owners.py

setup() {
	local user
	for user in pa pb pc; do
		useradd -M $user
	done
	usermod -aG xenpod pa
	usermod -aG xenpod pb
	install -d -m 0777 /run/owners
	remember_world
}

# as USER CMD...
as() {
	local user=$1
	shift
	runuser -u "$user" -- "$@"
}

# theirs USER NAME: a pod of his, running; prints its paths.
theirs() {
	pod "$2" base sleep 100000 | jq '.metadata.annotations["example.test/marker"] = "marker-of-'"$2"'"' >"/run/owners/$2.json"
	expect_ok as "$1" xenpodctl create -f "/run/owners/$2.json"
	expect_ok as "$1" xenpodctl start "$2"
	local path
	path=$(as "$1" busctl call org.xenpod1 /org/xenpod1 org.xenpod1.Manager GetPod s "$2" | cut -d'"' -f2)
	expect_ok as "$1" busctl call org.xenpod1 "$path/container/main" org.xenpod1.Container Exec 'asa{sv}' 2 sleep 600 0
	# The pod first.
	as "$1" python3 $owners paths >"/run/owners/$2.all"
	grep -E "^$path(/|\$)" "/run/owners/$2.all" | grep -vE '/(container|exec)$' | sort >"/run/owners/$2.paths"
	grep -E '/job/' "/run/owners/$2.all" >>"/run/owners/$2.paths"
	# Its id, what only its manifest says, its address, its path.
	as "$1" xenpodctl --json inspect "$2" |
		jq -r '.[0] | .id, "marker-of-'"$2"'", (.addresses[0] | split("/")[0]), "'"$path"'"' >"/run/owners/$2.secrets"
}

test_each_reaches_sees_and_is_told_of_his_own_only() {
	local user name other
	theirs root of-root
	theirs pa of-a
	theirs pb of-b
	for name in of-root of-a of-b; do
		grep -q /exec/ /run/owners/$name.paths || fail "no command in $(cat /run/owners/$name.paths)"
		grep -q /job/ /run/owners/$name.paths || fail "no job in $(cat /run/owners/$name.paths)"
	done
	for user in pa pb; do
		# shellcheck disable=SC2046
		expect_ok as $user python3 $owners own $(cat /run/owners/of-${user#p}.paths)
	done
	for user in pa pb; do
		name=of-${user#p}
		for other in of-root of-a of-b; do
			[ $other != $name ] || continue
			# shellcheck disable=SC2046
			expect_ok as $user python3 $owners others /run/owners/$other.secrets $(grep -vxFf /run/owners/$name.paths /run/owners/$other.paths)
			expect_status 125 as $user xenpodctl inspect $other
			expect_fail_with 'no pod has the name' as $user xenpodctl rm -f $other
		done
		expect_equal $name "$(as $user xenpodctl --json ps -a | jq -r '.[].name')"
	done
	# Nothing was done to them, and root sees all.
	expect_equal 'of-a of-b of-root' "$(xenpodctl --json ps | jq -r '.[].name' | sort | xargs)"
	expect_ok as pa xenpodctl exec of-a -- true
	expect_ok as pa xenpodctl rm -f of-a
	expect_ok as pb xenpodctl rm -f of-b
	gone of-root
	rm /run/owners/of-*
	no_leftovers
}

# listening USER FILE: what he hears is written to it, from when this returns.
listening() {
	as "$1" python3 $owners listen "$2" &
	within 20 grep -q listening "$2"
}

test_each_hears_of_his_own_only() {
	local member user
	for user in pa pb root; do
		listening $user /run/owners/$user.heard
	done
	as pa gdbus monitor --system -d org.xenpod1 >/run/owners/pa.gdbus &
	as pb gdbus monitor --system -d org.xenpod1 >/run/owners/pb.gdbus &
	within 20 grep -q 'is owned by' /run/owners/pa.gdbus
	within 20 grep -q 'is owned by' /run/owners/pb.gdbus
	pod heard base true >/run/owners/heard.json
	expect_ok as pa xenpodctl run --rm -f /run/owners/heard.json
	for member in PodNew JobNew JobRemoved InterfacesAdded InterfacesRemoved PropertiesChanged StateChanged PodRemoved; do
		within 10 grep -q " $member\$" /run/owners/pa.heard
		within 10 grep -q " $member\$" /run/owners/root.heard
	done
	within 10 grep -q PodRemoved /run/owners/pa.gdbus
	expect_ok xenpodctl run --rm --name roots base true
	sleep 1
	expect_equal '- listening' "$(cat /run/owners/pb.heard)" 'what the other user heard'
	expect_equal '' "$(grep /org/xenpod1 /run/owners/pb.gdbus || true)" 'what the other user heard without Subscribe'
	expect_equal 1 "$(grep -c PodNew /run/owners/pa.heard)" 'pods that the user heard of'
	expect_equal 2 "$(grep -c PodNew /run/owners/root.heard)" 'pods that root heard of'
	# shellcheck disable=SC2046
	kill $(jobs -p)
	rm /run/owners/*
	no_leftovers
}

test_who_is_not_in_the_group_makes_no_pods() {
	pod none base true >/run/owners/none.json
	expect_fail_with org.xenpod1.create-pods as pc xenpodctl create -f /run/owners/none.json
	expect_fail_with org.xenpod1.pull-images as pc xenpodctl pull example.test/none
	expect_fail_with org.xenpod1.manage-images as pa xenpodctl import oci:$fixtures/layout mine
	expect_equal '[]' "$(xenpodctl --json ps -a | jq -c .)"
	rm /run/owners/none.json
	no_leftovers
}

test_a_rule_of_the_host_decides_by_pod_and_verb() {
	cat >/etc/polkit-1/rules.d/50-lab.rules <<-'R'
		polkit.addRule(function(action, subject) {
			if (action.id == "org.xenpod1.manage-pods" && action.lookup("verb") == "stop" &&
				action.lookup("pod") == "kept" && action.lookup("owner").indexOf("uid:") == 0) {
				return polkit.Result.NO;
			}
		});
	R
	systemctl restart polkit
	pod kept base sleep 100000 >/run/owners/kept.json
	expect_ok as pa xenpodctl create -f /run/owners/kept.json
	expect_ok as pa xenpodctl start kept
	expect_fail_with org.xenpod1.manage-pods as pa xenpodctl stop kept
	expect_equal running "$(state kept)"
	rm /etc/polkit-1/rules.d/50-lab.rules /run/owners/kept.json
	systemctl restart polkit
	expect_ok as pa xenpodctl rm -f kept
	no_leftovers
}
