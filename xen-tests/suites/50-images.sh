# Images: from each source, each rule of layers as a container sees it, and hostile ones refused.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

setup() {
	make_web
	remember_world
}

# image NAME SPEC: makes and imports an image on top of base.
image() {
	printf '%s' "$2" | jq '. + {base: "/run/lab-fixtures/layout"}' >/run/spec.json
	rm -rf /run/image.oci
	python3 /opt/lab/suites/make_image.py /run/image.oci /run/spec.json
	xenpodctl import oci-archive:/run/image.oci "$1"
}

# no_image NAME: there is none of that name, and nothing of one that failed.
no_image() {
	expect_fail_with "there is no pod and no image \"$1\"" xenpodctl inspect "$1"
	no_leftovers
}

# hostile TEXT SPEC: refused, saying TEXT, and nothing of it stays.
hostile() {
	local said status=0 before
	before=$(find /var/lib/xenpod/images | sort)
	said=$(XENPODCTL_ERROR_NAMES=1 image hostile "$2" 2>&1) || status=$?
	expect_equal 125 $status "$said"
	[[ $said == *"$1"* ]] || fail "it did not say '$1' but: $said"
	[[ $said == *org.xenpod1.Error.ImageInvalid* ]] || fail "not ImageInvalid: $said"
	no_image hostile
	expect_equal "$before" "$(find /var/lib/xenpod/images | sort)" 'files of images'
}

test_every_source_gives_the_same_image() {
	local name
	skopeo --insecure-policy copy -q "oci:$fixtures/web:web" oci-archive:/run/web.oci:latest
	skopeo --insecure-policy copy -q "oci:$fixtures/web:web" docker-archive:/run/web.docker:web:latest
	xenpodctl import "oci:$fixtures/web" w1
	xenpodctl import oci-archive:/run/web.oci w2
	xenpodctl import docker-archive:/run/web.docker w3
	for name in w1 w2 w3; do
		expect_output 'domain of its own' xenpodctl run --rm --entrypoint cat "$name" /www/index.html
	done
	expect_ok xenpodctl rmi w1 w2 w3
	rm /run/web.oci /run/web.docker
	no_leftovers
}

test_a_registry_is_pulled_from_and_its_faults_are_told() {
	start_registry 5000
	push "$fixtures/web:web" example/web:1 5000
	expect_output sha256: xenpodctl pull 127.0.0.1:5000/example/web:1
	expect_output 'domain of its own' xenpodctl run --rm --entrypoint cat 127.0.0.1:5000/example/web:1 /www/index.html
	expect_fail_with 'no-such-tag' xenpodctl pull 127.0.0.1:5000/example/web:no-such-tag
	expect_fail_with 'nothing/here' xenpodctl pull 127.0.0.1:5000/nothing/here:1
	systemctl stop lab-registry-5000
	expect_ok xenpodctl rmi 127.0.0.1:5000/example/web:1
	expect_fail_with '127.0.0.1:5000' xenpodctl pull 127.0.0.1:5000/example/web:1
	no_leftovers
}

test_a_registry_over_tls_must_be_trusted() {
	local new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
	openssl req -x509 $new -days 30 -subj '/CN=a CA of the lab' -keyout /run/ca.key -out /run/ca.crt 2>/dev/null
	openssl req $new -subj /CN=localhost -keyout /run/tls.key -out /run/tls.csr 2>/dev/null
	echo subjectAltName=IP:127.0.0.1 >/run/tls.ext
	openssl x509 -req -in /run/tls.csr -CA /run/ca.crt -CAkey /run/ca.key -CAcreateserial -days 30 \
		-extfile /run/tls.ext -out /run/tls.crt 2>/dev/null
	start_registry 5443 /run/tls.crt /run/tls.key
	push "$fixtures/web:web" example/web:1 5443
	expect_fail_with '127.0.0.1:5443' xenpodctl pull 127.0.0.1:5443/example/web:1
	mkdir -p /etc/xenpod/certs.d/127.0.0.1:5443
	cp /run/ca.crt /etc/xenpod/certs.d/127.0.0.1:5443/ca.crt
	expect_output sha256: xenpodctl pull 127.0.0.1:5443/example/web:1
	expect_ok xenpodctl rmi 127.0.0.1:5443/example/web:1
	systemctl stop lab-registry-5443
	rm -r /etc/xenpod/certs.d/127.0.0.1:5443 /run/tls.* /run/ca.*
	no_leftovers
}

test_whiteouts_and_opaque_folders() {
	image layered '{"layers": [
		[{"name": "d", "type": "dir"}, {"name": "d/a", "data": "1"}, {"name": "d/b", "data": "1"}, {"name": "o", "type": "dir"}, {"name": "o/x", "data": "1"}, {"name": "f", "data": "1"}],
		[{"name": "d/.wh.a"}, {"name": "o/new", "data": "2"}, {"name": "o/.wh..wh..opq"}, {"name": "f", "type": "dir"}, {"name": "f/in", "data": "2"}]]}'
	expect_equal 'd:b o:new f:in' "$(xenpodctl run --rm layered -- sh -c 'echo d:$(ls d) o:$(ls o) f:$(ls f)')"
	expect_ok xenpodctl rmi layered
	no_leftovers
}

test_modes_owners_links_and_devices() {
	image special '{"layers": [[
		{"name": "suid", "data": "x", "mode": "4755"}, {"name": "own", "data": "x", "uid": 1234567, "gid": 7, "mode": "0640"},
		{"name": "hard", "type": "link", "target": "suid"}, {"name": "soft", "type": "symlink", "target": "own"},
		{"name": "null", "type": "char", "major": 1, "minor": 3, "mode": "666"}, {"name": "pipe", "type": "fifo"}]]}'
	expect_equal '-rwsr-xr-x 2 root root' "$(xenpodctl run --rm special -- ls -l /hard | awk '{ print $1, $2, $3, $4 }')"
	expect_equal '-rw-r----- 1234567 7' "$(xenpodctl run --rm special -- ls -ln /own | awk '{ print $1, $3, $4 }')"
	expect_equal own "$(xenpodctl run --rm special -- readlink /soft)"
	expect_equal 'crw-rw-rw- 1, 3' "$(xenpodctl run --rm special -- ls -l /null | awk '{ print $1, $5, $6 }')"
	expect_ok xenpodctl run --rm special test -p /pipe
	expect_ok xenpodctl rmi special
}

test_a_digest_that_lies() {
	hostile ', expected sha256:' '{"fault": "digest", "layers": [[{"name": "x", "data": "x"}]]}'
	hostile ', expected sha256:0000' '{"fault": "diff_id", "layers": [[{"name": "x", "data": "x"}]]}'
}

test_a_truncated_layer() {
	hostile ' bytes, manifest says ' '{"fault": "truncated", "layers": [[{"name": "x", "data": "some text", "times": 9999}]]}'
}

# escapes ENTRY HOW ENTRIES: an image with those entries is refused, for ENTRY and because of HOW.
escapes() {
	hostile "entry \"$1\" reaches outside the image: $2" "{\"layers\": $3}"
}

test_layers_that_reach_outside() {
	escapes '../escape' 'the name contains ".."' '[[{"name": "../escape", "data": "x"}]]'
	escapes 'a/../../escape' 'the name contains ".."' '[[{"name": "a/../../escape", "data": "x"}]]'
	escapes '../.wh.etc' 'the name contains ".."' '[[{"name": "../.wh.etc"}]]'
	escapes '/etc/absolute' 'the name is absolute' '[[{"name": "/etc/absolute", "data": "x"}]]'
	escapes link 'it is a hard link to "../../etc/passwd"' '[[{"name": "link", "type": "link", "target": "../../etc/passwd"}]]'
	escapes link 'it is a hard link to "/etc/shadow"' '[[{"name": "link", "type": "link", "target": "/etc/shadow"}]]'
	escapes out/file '"out" on its way is a symbolic link to "/../../tmp"' \
		'[[{"name": "out", "type": "symlink", "target": "/../../tmp"}, {"name": "out/file", "data": "x"}]]'
	escapes out/file 'a symbolic link on its way leads above the root' \
		'[[{"name": "out", "type": "symlink", "target": "../../run"}], [{"name": "out/file", "data": "x"}]]'
	[ ! -e /tmp/file ] && [ ! -e /run/file ] && [ ! -e /etc/absolute ] && [ -e /etc/shadow ] || fail 'it did reach outside'
}

test_what_is_not_an_image() {
	head -c 10000 /dev/urandom >/run/image.oci
	expect_status 125 xenpodctl import oci-archive:/run/image.oci hostile
	no_image hostile
	expect_status 125 xenpodctl import oci-archive:/no/such/file hostile
	expect_fail_with 'oci-archive:FILE' xenpodctl import tar:/run/image.oci hostile
	expect_fail_with 'is a folder' xenpodctl import oci-archive:/run hostile
}

test_an_image_in_use_is_not_removed() {
	running user
	expect_fail_with user xenpodctl rmi base
	expect_ok xenpodctl exec user true
	gone user
	no_leftovers
}
