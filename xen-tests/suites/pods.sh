# What suites about pods share. Needs lib.sh.
fixtures=/run/lab-fixtures

# import_base: the image `base` (busybox) in the layout $fixtures/layout, and imported. furnish-pods.sh does it.
import_base() {
	busybox_root $fixtures/root
	mkdir -p $fixtures/root/home/app $fixtures/root/root
	echo 'app:x:1000:1000:app:/home/app:/bin/sh' >>$fixtures/root/etc/passwd
	echo 'app:x:1000:' >>$fixtures/root/etc/group
	/opt/lab/suites/mkimage $fixtures/layout $fixtures/root --tag base --cmd sh
	expect_ok xenpodctl import oci:$fixtures/layout base
}

# make_web: the image `web`, a web server and its page on top of base, as a layout; nothing is imported.
make_web() {
	mkdir -p $fixtures/page/www
	echo 'a page from a domain of its own' >$fixtures/page/www/index.html
	/opt/lab/suites/mkimage $fixtures/web $fixtures/root $fixtures/page --tag web \
		--entrypoint httpd --cmd=-f --cmd=-p --cmd=8080 --cmd=-h --cmd=/www --port 8080/tcp
}

# state POD: its state.
state() {
	xenpodctl --json inspect "$1" | jq -r '.[0].state'
}

# field POD FILTER: one thing of what inspect says of a pod.
field() {
	xenpodctl --json inspect "$1" | jq -r ".[0]$2"
}

# is_state POD STATE
is_state() {
	[ "$(state "$1")" = "$2" ]
}

# pod_ip POD: its IPv4 address.
pod_ip() {
	field "$1" '.addresses[]' | grep -m1 -E '^[0-9.]+' | cut -d/ -f1
}

# pod NAME IMAGE [COMMAND...]: a manifest of one container, as JSON.
pod() {
	local name=$1 image=$2 words
	shift 2
	# Not by --args: jq would take -c for its own.
	words=$(printf '%s\0' "$@" | jq -Rs 'split("\u0000") | if .[-1] == "" then .[:-1] else . end')
	jq -n --arg name "$name" --arg image "$image" --argjson words "$words" '{apiVersion: "v1", kind: "Pod",
		metadata: {name: $name, annotations: {"xenpod.org/memory": "48Mi"}},
		spec: {restartPolicy: "Never", terminationGracePeriodSeconds: 1,
			containers: [{name: "main", image: $image, command: $words}]}}'
}

# running NAME [COMMAND...]: a pod that sleeps, or does what is said, is created and runs.
running() {
	local name=$1
	shift
	[ $# -gt 0 ] || set -- sleep 100000
	pod "$name" base "$@" >"/run/$name.json"
	expect_ok xenpodctl create -f "/run/$name.json"
	expect_ok xenpodctl start "$name"
	rm "/run/$name.json"
}

# gone POD...: they are removed.
gone() {
	expect_ok xenpodctl rm -f "$@"
}
