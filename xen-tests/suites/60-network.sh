# The default network: addresses, names, reachability, and what a pod cannot pretend.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

test_pod_to_dom0_and_back_on_both_families() {
	running net nc -ll -p 8000 -e echo served
	local v4 v6
	v4=$(pod_ip net)
	v6=$(field net '.addresses[]' | grep : | head -n 1 | cut -d/ -f1)
	[ -n "$v4" ] && [ -n "$v6" ] || fail "addresses: $v4 $v6"
	expect_ok ping -c 1 -W 5 "$v4"
	expect_ok ping -c 1 -W 5 "$v6"
	expect_equal served "$(timeout 5 python3 -c "
import socket
print(socket.create_connection(('$v4', 8000), 5).makefile().read(), end='')")"
	local gateway
	gateway=$(xenpodctl exec net -- ip route | awk '/^default/ { print $3 }')
	expect_ok xenpodctl exec net -- ping -c 1 -W 5 "$gateway"
	gone net
	no_leftovers
}

test_pod_to_pod() {
	running server nc -ll -p 8000 -e echo served
	expect_equal served "$(xenpodctl run --rm base -- nc "$(pod_ip server)" 8000)"
	gone server
	no_leftovers
}

test_the_pod_knows_its_name_and_servers() {
	running names
	expect_output names xenpodctl exec names -- cat /etc/hosts
	expect_output nameserver xenpodctl exec names -- cat /etc/resolv.conf
	expect_equal names "$(xenpodctl exec names -- cat /etc/hostname)"
	expect_equal "$(pod_ip names)" "$(xenpodctl exec names -- hostname -i | cut -d' ' -f1)"
	gone names
}

test_requested_addresses_are_kept_and_not_given_twice() {
	pod asked base sleep 100000 | jq '.metadata.annotations["xenpod.org/ipv4"] = "10.213.7.7" | .metadata.annotations["xenpod.org/mac"] = "00:16:3e:12:34:56"' >/run/asked.json
	expect_ok xenpodctl create -f /run/asked.json
	expect_ok xenpodctl start asked
	expect_equal 10.213.7.7 "$(pod_ip asked)"
	expect_output 00:16:3e:12:34:56 xenpodctl exec asked -- ip link show eth0
	jq '.metadata.name = "second"' /run/asked.json >/run/second.json
	expect_fail_with 10.213.7.7 xenpodctl create -f /run/second.json
	gone asked
	rm /run/asked.json /run/second.json
	no_leftovers
}

test_a_pod_cannot_take_anothers_address() {
	pod liar base sleep 100000 | jq '.spec.containers[0].securityContext.capabilities.add = ["NET_ADMIN"]' >/run/liar.json
	expect_ok xenpodctl create -f /run/liar.json
	expect_ok xenpodctl start liar
	running victim
	expect_ok xenpodctl exec liar -- ping -c 1 -W 5 "$(pod_ip victim)"
	expect_ok xenpodctl exec liar -- ip addr add 10.213.99.99/16 dev eth0
	expect_status 1 xenpodctl exec liar -- ping -c 1 -W 2 -I 10.213.99.99 "$(pod_ip victim)"
	expect_ok xenpodctl exec liar -- ping -c 1 -W 5 "$(pod_ip victim)"
	expect_ok xenpodctl exec liar -- sh -c 'ip link set eth0 down; ip link set eth0 address 00:16:3e:aa:aa:aa; ip link set eth0 up'
	expect_status 1 xenpodctl exec liar -- ping -c 1 -W 2 "$(pod_ip victim)"
	gone liar victim
	rm /run/liar.json
	no_leftovers
}

test_packets_leave_the_host_with_its_address() {
	ip netns add outside
	ip link add veth-out type veth peer name eth0 netns outside
	ip addr add 198.51.100.1/24 dev veth-out
	ip link set veth-out up
	ip -n outside addr add 198.51.100.2/24 dev eth0
	ip -n outside link set eth0 up
	ip netns exec outside python3 -c '
import socket
s = socket.create_server(("198.51.100.2", 9000))
c, peer = s.accept()
c.sendall(peer[0].encode() + b"\n")' &
	local server=$! said
	sleep 1
	said=$(xenpodctl run --rm base -- nc -w 10 198.51.100.2 9000) || echo "nc: $?"
	wait "$server" || true
	ip link del veth-out
	ip netns del outside
	# Where ip keeps its namespaces: its first use mounts it.
	umount /run/netns
	expect_equal 198.51.100.1 "$said"
	no_leftovers
}

# rules: those of nftables, but for what was counted.
rules() {
	nft list ruleset | sed -E 's/counter packets [0-9]+ bytes [0-9]+/counter/'
}

test_rules_that_were_flushed_are_back_at_once() {
	running kept
	local before address
	address=$(pod_ip kept)
	before=$(rules | sort)
	[[ $before == *"$address"* ]] || fail "no pin of $address in $before"
	nft flush ruleset
	within 5 sh -c "nft list ruleset | grep -q '$address'"
	expect_equal "$before" "$(rules | sort)" 'the rules'
	expect_ok ping -c 1 -W 5 "$address"
	# Once more, for the watch goes on.
	nft flush ruleset
	within 5 sh -c "nft list ruleset | grep -q '$address'"
	gone kept
	no_leftovers
}
