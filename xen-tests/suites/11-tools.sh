# What the other suites make their images with and pull them from.
# lab: --no-package

setup() {
	busybox_root /root/bb
	/opt/lab/suites/mkimage /root/oci /root/bb --cmd sh --cmd=-c --cmd 'echo hi' --env A=b
}

test_an_image_is_what_skopeo_takes_for_one() {
	expect_equal '["sh","-c","echo hi"]' "$(skopeo inspect --config oci:/root/oci:latest | jq -c .config.Cmd)"
	skopeo --insecure-policy copy -q oci:/root/oci:latest oci-archive:/root/a.tar
	skopeo --insecure-policy copy -q oci:/root/oci:latest docker-archive:/root/d.tar:bb:1
	expect_output bin/busybox tar -tzf "/root/oci/blobs/sha256/$(skopeo inspect oci:/root/oci:latest | jq -r '.Layers[0]' | cut -d: -f2)"
}

test_the_same_folder_gives_the_same_digest() {
	expect_equal "$(/opt/lab/suites/mkimage /root/one /root/bb)" "$(/opt/lab/suites/mkimage /root/two /root/bb)"
}

test_a_registry_serves_over_http() {
	start_registry 5000
	push /root/oci:latest bb:1 5000
	expect_output '"bb"' curl -s http://127.0.0.1:5000/v2/_catalog
}

test_a_registry_serves_over_tls() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
		-addext subjectAltName=IP:127.0.0.1 -keyout /root/key.pem -out /root/cert.pem 2>/dev/null
	start_registry 5001 /root/cert.pem /root/key.pem
	push /root/oci:latest bb:1 5001
	expect_output '"bb"' curl -s --cacert /root/cert.pem https://127.0.0.1:5001/v2/_catalog
}
