# Bad input: a clear error, and nothing left behind.
# lab:

. /opt/lab/suites/pods.sh

setup() {
	import_base
	expect_ok xenpodctl run --rm base true
	export XENPODCTL_ERROR_NAMES=1
	remember_world
}

# refused NAME TEXT CMD...: the command fails with xenpod's exit code, the error has that name and says that, and nothing is left.
refused() {
	local name=$1 text=$2 said status=0
	shift 2
	said=$(XENPODCTL_ERROR_NAMES=1 "$@" 2>&1) || status=$?
	[ $status -eq 125 ] || fail "$* ended with $status: $said"
	[[ $said == *"$text"* ]] || fail "$* did not say '$text' but: $said"
	[[ $said == *"error name: org.xenpod1.Error.$name"* ]] || fail "$*: not $name but: $said"
	no_leftovers
}

# with MANIFEST-FILTER: the manifest of a pod, changed by jq, refused on create.
manifest() {
	pod bad base true | jq "$1" >/run/bad.json
}

test_a_manifest_that_is_not_yaml() {
	printf 'kind: Pod\n  x: [\n' >/run/bad.json
	refused ManifestInvalid 'the manifest is not YAML: ' xenpodctl create -f /run/bad.json
	printf 'hello\n' >/run/bad.json
	refused ManifestInvalid 'the manifest is not a Pod: ' xenpodctl create -f /run/bad.json
}

test_unknown_keys_and_unsupported_fields() {
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  containers:\n  - {name: c, image: base}\n  hostNetwerk: true\n' >/run/bad.yaml
	refused ManifestInvalid 'line 7: spec.hostNetwerk: there is no such field' xenpodctl create -f /run/bad.yaml
	sed -i 's/hostNetwerk/hostNetwork/' /run/bad.yaml
	refused ManifestUnsupported 'line 7: spec.hostNetwork: is not supported' xenpodctl create -f /run/bad.yaml
	rm /run/bad.yaml
}

test_two_containers_of_one_name() {
	manifest '.spec.containers += .spec.containers'
	refused ManifestInvalid '"main" is already the name of spec.containers[0]' xenpodctl create -f /run/bad.json
}

test_absurd_sizes() {
	manifest '.metadata.annotations["xenpod.org/memory"] = "900Ti"'
	refused ManifestInvalid 'metadata.annotations.xenpod.org/memory' xenpodctl create -f /run/bad.json
	manifest '.metadata.annotations["xenpod.org/memory"] = "1Mi"'
	refused ManifestInvalid 'is too little for a domain' xenpodctl create -f /run/bad.json
	manifest '.metadata.annotations["xenpod.org/cpus"] = "100000"'
	refused ManifestInvalid 'vCPUs' xenpodctl create -f /run/bad.json
	manifest '.spec.containers[0].resources.limits.memory = "-5"'
	refused ManifestInvalid 'is negative' xenpodctl create -f /run/bad.json
}

test_not_enough_memory_on_the_host() {
	manifest '.metadata.annotations["xenpod.org/memory"] = "64Gi"'
	refused NotEnoughMemory 'KiB are free' xenpodctl create -f /run/bad.json
}

test_an_image_that_does_not_exist() {
	manifest '.spec.containers[0].image = "127.0.0.1:1/no/image:1"'
	refused ImageUnavailable '127.0.0.1:1/no/image:1' xenpodctl create -f /run/bad.json
	manifest '.spec.containers[0].image = "no-such-image" | .spec.containers[0].imagePullPolicy = "Never"'
	refused ImageUnavailable 'image no-such-image is not here' xenpodctl create -f /run/bad.json
}

test_a_name_that_is_taken() {
	pod taken base sleep 100000 >/run/taken.json
	expect_ok xenpodctl create -f /run/taken.json
	local said status=0
	said=$(XENPODCTL_ERROR_NAMES=1 xenpodctl create -f /run/taken.json 2>&1) || status=$?
	expect_equal 125 $status
	[[ $said == *taken*org.xenpod1.Error.PodExists* ]] || [[ $said == *PodExists* && $said == *taken* ]] || fail "$said"
	expect_equal 1 "$(xenpodctl ps -aq | wc -l)"
	gone taken
	rm /run/taken.json
	no_leftovers
}

test_an_id_that_does_not_exist() {
	local verb
	for verb in start stop rm inspect 'logs' wait pause resume; do
		expect_status 125 xenpodctl "$verb" no-such-pod
	done
	refused NoSuchPod 'no-such-pod' xenpodctl start no-such-pod
	refused NoSuchPod '6c9f2a52-3c3e-4a0e-9a54-0d5b6f3c1a2b' xenpodctl stop 6c9f2a52-3c3e-4a0e-9a54-0d5b6f3c1a2b
	refused NoSuchImage 'no-such-image' xenpodctl rmi no-such-image
}

test_a_command_that_does_not_exist() {
	local said status=0
	said=$(xenpodctl run --rm base -- no-such-command 2>&1) || status=$?
	expect_equal 127 $status
	[[ $said == *no-such-command* ]] || fail "$said"
	no_leftovers
}

test_a_kernel_without_the_pvh_note() {
	cp /bin/true /run/not-a-kernel
	mkdir -p /etc/systemd/system/xenpodd.service.d
	sed 's|^#* *kernel:.*|kernel: /run/not-a-kernel|' /etc/xenpod/xenpodd.yaml >/run/xenpodd.yaml
	cp -p /etc/xenpod/xenpodd.yaml /run/xenpodd.yaml.shipped
	cp /run/xenpodd.yaml /etc/xenpod/xenpodd.yaml
	systemctl restart xenpodd
	pod bad base true >/run/bad.json
	local outcome=0
	(refused KernelInvalid 'no PVH entry' xenpodctl create -f /run/bad.json) || outcome=$?
	cp -p /run/xenpodd.yaml.shipped /etc/xenpod/xenpodd.yaml
	systemctl restart xenpodd
	rm /run/xenpodd.yaml /run/xenpodd.yaml.shipped /run/not-a-kernel
	expect_ok xenpodctl run --rm base true
	return $outcome
}

test_options_that_do_not_exist() {
	local said status=0
	said=$(busctl call org.xenpod1 /org/xenpod1 org.xenpod1.Manager CreatePod 'sa{sv}' "$(pod o base true)" 1 colour s red 2>&1) || status=$?
	[ $status -ne 0 ] || fail "an unknown option was taken: $said"
	[[ $said == *colour* ]] || fail "$said"
	expect_equal '' "$(xenpodctl ps -aq)"
	no_leftovers
}
