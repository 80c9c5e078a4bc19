# Bad input: a clear error, and nothing left behind.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

# So that the errors' names are printed.
export XENPODCTL_ERROR_NAMES=1

# refused NAME TEXT CMD...: the command fails with the exit code of that error, the error has that name and says that. Each test
# then looks whether anything is left.
refused() {
	local name=$1 text=$2 wanted=125 said status=0
	shift 2
	case $name in
	CommandNotFound) wanted=127 ;;
	ExecFailed) wanted=126 ;;
	*.*) ;;
	*) name=org.xenpod1.Error.$name ;;
	esac
	said=$("$@" 2>&1) || status=$?
	[ $status -eq $wanted ] || fail "$* ended with $status: $said"
	[[ $said == *"$text"* ]] || fail "$* did not say '$text' but: $said"
	[[ $said == *"error name: "*"$name"$'\n'* || $said == *"error name: "*"$name" ]] || fail "$*: not $name but: $said"
}

# manifest FILTER: the manifest of a pod, changed by jq.
manifest() {
	pod bad base true | jq "$1" >/run/bad.json
}

# refused_manifest NAME TEXT FILTER: so changed, it is refused on create.
refused_manifest() {
	manifest "$3"
	refused "$1" "$2" xenpodctl create -f /run/bad.json
}

test_a_manifest_that_is_not_yaml() {
	printf 'kind: Pod\n  x: [\n' >/run/bad.json
	refused ManifestInvalid 'the manifest is not YAML: mapping values are not allowed in this context at line 2' xenpodctl create -f /run/bad.json
	printf 'hello\n' >/run/bad.json
	refused ManifestInvalid 'the manifest is not a Pod: ' xenpodctl create -f /run/bad.json
	printf 'apiVersion: v1\nkind: Service\n' >/run/bad.json
	refused ManifestInvalid 'kind is Service; it must be Pod' xenpodctl create -f /run/bad.json
	printf 'apiVersion: v1\nkind: Pod\nkind: Pod\n' >/run/bad.json
	refused ManifestInvalid 'duplicate entry with key "kind"' xenpodctl create -f /run/bad.json
	head -c 3000 /dev/urandom | tr -d '\0' >/run/bad.json
	expect_status 125 xenpodctl create -f /run/bad.json
	head -c 2000000 /dev/zero | tr '\0' '#' >/run/bad.json
	refused ManifestInvalid 'the manifest has 2000000 bytes; the limit is 1048576' xenpodctl create -f /run/bad.json
	no_leftovers
}

test_unknown_keys_each_with_path_and_line() {
	cat >/run/bad.yaml <<-'Y'
		apiVersion: v1
		kind: Pod
		metadata: {name: bad, nam: x}
		spec:
		  containers:
		  - name: c
		    image: base
		    imagePullPolcy: Never
		    resources:
		      limits: {memory: 8Mi}
		      limit: {memory: 8Mi}
		  hostNetwerk: true
		sepc: {}
	Y
	local problem
	for problem in 'line 3: metadata.nam' 'line 8: spec.containers[0].imagePullPolcy' 'line 11: spec.containers[0].resources.limit' \
		'line 12: spec.hostNetwerk' 'line 13: sepc'; do
		refused ManifestInvalid "$problem: there is no such field" xenpodctl create -f /run/bad.yaml
	done
	rm /run/bad.yaml
	no_leftovers
}

test_unsupported_fields_each_with_path_and_line() {
	cat >/run/bad.yaml <<-'Y'
		apiVersion: v1
		kind: Pod
		metadata:
		  name: bad
		  annotations: {xenpod.org/colour: red}
		spec:
		  hostNetwork: true
		  nodeSelector: {a: b}
		  volumes:
		  - name: h
		    hostPath: {path: /}
		  containers:
		  - name: c
		    image: base
		    ports:
		    - {containerPort: 80, hostPort: 80}
		    volumeDevices: [{name: h, devicePath: /dev/h}]
		    securityContext: {seLinuxOptions: {level: s0}}
	Y
	local problem
	for problem in 'line 5: metadata.annotations.xenpod.org/colour: there is no such annotation' \
		'line 7: spec.hostNetwork: is not supported unless it is false' 'line 8: spec.nodeSelector: is not supported' \
		'line 11: spec.volumes[0].hostPath: is not supported' 'line 16: spec.containers[0].ports[0].hostPort: is not supported' \
		'line 17: spec.containers[0].volumeDevices: is not supported' \
		'line 18: spec.containers[0].securityContext.seLinuxOptions: is not supported'; do
		refused ManifestUnsupported "$problem" xenpodctl create -f /run/bad.yaml
	done
	rm /run/bad.yaml
	no_leftovers
}

test_two_containers_of_one_name() {
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  containers:\n  - {name: main, image: base}\n  - {name: main, image: base}\n' >/run/bad.yaml
	refused ManifestInvalid 'line 7: spec.containers[1].name: "main" is already the name of spec.containers[0]' xenpodctl create -f /run/bad.yaml
	rm /run/bad.yaml
	no_leftovers
}

test_absurd_sizes() {
	local memory='metadata.annotations["xenpod.org/memory"]' cpus='metadata.annotations["xenpod.org/cpus"]' limits='spec.containers[0].resources.limits'
	refused_manifest ManifestInvalid 'metadata.annotations.xenpod.org/memory: 943718400 MiB is more than a domain can have' ".$memory = \"900Ti\""
	refused_manifest ManifestInvalid 'metadata.annotations.xenpod.org/memory: "99999999999999999999Ei" is larger than anything a machine has' ".$memory = \"99999999999999999999Ei\""
	refused_manifest ManifestInvalid 'metadata.annotations.xenpod.org/memory: 1 MiB is too little for a domain' ".$memory = \"1Mi\""
	refused_manifest ManifestInvalid 'metadata.annotations.xenpod.org/memory: "much" is not a quantity' ".$memory = \"much\""
	refused_manifest ManifestInvalid 'metadata.annotations.xenpod.org/cpus: 100000 vCPUs are more than a domain can have: 128' ".$cpus = \"100000\""
	refused_manifest ManifestInvalid 'metadata.annotations.xenpod.org/cpus: "0" is not a whole number of vCPUs' ".$cpus = \"0\""
	refused_manifest ManifestInvalid 'metadata.annotations.xenpod.org/scratch: 1048576 bytes is out of bounds' '.metadata.annotations["xenpod.org/scratch"] = "1Mi"'
	refused_manifest ManifestInvalid 'metadata.annotations.xenpod.org/scratch' '.metadata.annotations["xenpod.org/scratch"] = "900Ti"'
	refused_manifest ManifestInvalid 'spec.containers[0].resources.limits.memory: "-5" is negative' ".$limits.memory = \"-5\""
	refused_manifest ManifestInvalid 'spec.containers[0].resources.limits.memory: 100Ti is more than any machine has' ".$limits.memory = \"100Ti\""
	refused_manifest ManifestInvalid 'spec.containers[0].resources.limits.memory: 5 bytes are too few' ".$limits.memory = \"5\""
	refused_manifest ManifestInvalid 'spec.containers[0].resources.limits.cpu: 5000 is more than any machine has' ".$limits.cpu = \"5000\""
	refused_manifest ManifestInvalid 'spec.containers: has 65 entries' '.spec.containers = [range(65) as $i | .spec.containers[0] | .name = "c\($i)"]'
	refused_manifest ManifestInvalid 'spec.terminationGracePeriodSeconds: must be 0 to 86400' '.spec.terminationGracePeriodSeconds = 100000'
	refused_manifest ManifestInvalid 'spec.containers[0].args[0]: is 200000 bytes long' '.spec.containers[0].args = ["x" * 200000]'
	no_leftovers
}

test_not_enough_memory_on_the_host() {
	refused_manifest NotEnoughMemory 'pod bad: not enough memory: ' '.metadata.annotations["xenpod.org/memory"] = "64Gi"'
	refused NotEnoughMemory 'KiB are free; stop a domain or shrink dom0' xenpodctl run -f /run/bad.json
	# By a little, when Xen itself has to say so.
	local free
	free=$(xl info free_memory)
	refused_manifest NotEnoughMemory 'pod bad: not enough memory: ' ".metadata.annotations[\"xenpod.org/memory\"] = \"${free}Mi\""
	no_leftovers
}

test_an_image_that_does_not_exist() {
	refused_manifest ImageUnavailable 'image 127.0.0.1:1/no/image:1: registry 127.0.0.1:1 cannot be reached: ' '.spec.containers[0].image = "127.0.0.1:1/no/image:1"'
	refused_manifest ImageUnavailable 'image no-such-image is not here' '.spec.containers[0].image = "no-such-image" | .spec.containers[0].imagePullPolicy = "Never"'
	refused_manifest org.freedesktop.DBus.Error.InvalidArgs '"UPPER//x" is not an image name' '.spec.containers[0].image = "UPPER//x"'
	start_registry 5000
	push "$fixtures/layout:base" team/base:1 5000
	refused_manifest ImageUnavailable 'image 127.0.0.1:5000/team/base:2: not found in registry 127.0.0.1:5000' '.spec.containers[0].image = "127.0.0.1:5000/team/base:2"'
	refused ImageUnavailable 'not found in registry 127.0.0.1:5000' xenpodctl pull 127.0.0.1:5000/team/base:2
	refused ImageUnavailable 'not found in registry 127.0.0.1:5000' xenpodctl pull 127.0.0.1:5000/nothing/here:1
	systemctl stop lab-registry-5000
	refused ImageUnavailable 'registry 127.0.0.1:5000 cannot be reached: ' xenpodctl pull 127.0.0.1:5000/team/base:1
	no_leftovers
}

test_a_name_that_is_taken() {
	pod taken base sleep 100000 >/run/taken.json
	expect_ok xenpodctl create -f /run/taken.json
	(
		lab_world=/run/lab-world-meanwhile
		remember_world
		refused PodExists 'a pod named taken exists already; remove it or choose another name' xenpodctl create -f /run/taken.json
		refused PodExists 'a pod named taken exists already' xenpodctl run --name taken base true
		no_leftovers
	)
	expect_equal 1 "$(xenpodctl ps -aq | wc -l)"
	expect_ok xenpodctl start taken
	gone taken
	rm /run/taken.json
	no_leftovers
}

test_an_id_that_does_not_exist() {
	local verb id=6c9f2a52-3c3e-4a0e-9a54-0d5b6f3c1a2b
	for verb in start stop rm 'rm -f' logs wait pause resume; do
		refused NoSuchPod 'no pod has the name or id "no-such-pod"; `xenpodctl ps -a` lists them' xenpodctl $verb no-such-pod
		refused NoSuchPod "no pod has the name or id \"$id\"" xenpodctl $verb $id
	done
	refused NoSuchPod 'no pod has the name or id "no-such-pod"' xenpodctl exec no-such-pod true
	expect_fail_with 'there is no pod and no image "no-such-pod"' xenpodctl inspect no-such-pod
	refused NoSuchImage 'no image has the name or digest "no-such-image"; `xenpodctl images` lists them' xenpodctl rmi no-such-image
	id=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
	refused NoSuchImage "no image has the name or digest \"$id\"" xenpodctl rmi $id
	no_leftovers
}

# unknown PATH INTERFACE METHOD [SIGNATURE ARGUMENT...]: the bus knows no such object, and says which.
unknown() {
	local said
	said=$(dbus-send --system --print-reply --dest=org.xenpod1 "$1" "$2.$3" 2>&1) && fail "$1 has $3: $said"
	[[ $said == *org.freedesktop.DBus.Error.UnknownObject* && $said == *"there is no object $1"* ]] || fail "$said"
}

test_an_object_that_does_not_exist() {
	unknown /org/xenpod1/pod/x org.xenpod1.Pod Start
	unknown /org/xenpod1/job/4000000 org.xenpod1.Job Cancel
	unknown /org/xenpod1/image/x org.xenpod1.Image Remove
	running here
	unknown "$(busctl tree --list org.xenpod1 | grep -m1 '/pod/')/container/none" org.xenpod1.Container Wait
	(
		lab_world=/run/lab-world-meanwhile
		remember_world
		refused NoSuchContainer 'pod here has no container "none"' xenpodctl exec here -c none true
		refused NoSuchContainer 'pod here has no container "none"' xenpodctl logs here -c none
		no_leftovers
	)
	gone here
	no_leftovers
}

# milliseconds CMD...: how long it took, whatever its end.
milliseconds() {
	local began=$EPOCHREALTIME
	"$@" >/dev/null 2>&1 || true
	echo $(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
}

test_a_command_that_does_not_exist() {
	local good bad
	refused CommandNotFound 'command "no-such-command" not found in container main' xenpodctl run --rm base -- no-such-command
	refused CommandNotFound 'command "/no/such" not found in container main' xenpodctl run --rm base -- /no/such
	refused ExecFailed '/etc/passwd' xenpodctl run --rm base -- /etc/passwd
	# It is told as soon as a start would be done, and what that had taken is given back: 25-verbs has the command alone.
	pod bad base no-such-command >/run/bad.json
	pod good base sleep 1000 >/run/good.json
	expect_ok xenpodctl create -f /run/bad.json
	expect_ok xenpodctl create -f /run/good.json
	good=$(milliseconds xenpodctl start good)
	bad=$(milliseconds xenpodctl start bad)
	expect_equal failed "$(state bad)"
	expect_equal CommandNotFound "$(field bad .reason)"
	expect_output 'no-such-command' xenpodctl inspect bad
	[ "$bad" -lt $((good + 3000)) ] || fail "it took $bad ms; a good start $good"
	gone bad good
	rm /run/good.json
	no_leftovers
}

test_a_kernel_without_the_pvh_note() {
	cp /bin/true /run/not-a-kernel
	sed 's|^#* *kernel:.*|kernel: /run/not-a-kernel|' /etc/xenpod/xenpodd.yaml >/run/xenpodd.yaml
	cp -p /etc/xenpod/xenpodd.yaml /run/xenpodd.yaml.shipped
	cp /run/xenpodd.yaml /etc/xenpod/xenpodd.yaml
	systemctl restart xenpodd
	pod bad base true >/run/bad.json
	local outcome=0
	(refused KernelInvalid 'no PVH entry' xenpodctl create -f /run/bad.json) || outcome=$?
	(expect_equal degraded "$(busctl --json=short get-property org.xenpod1 /org/xenpod1 org.xenpod1.Manager HostState | jq -r .data)") || outcome=$?
	(expect_status 125 xenpodctl doctor) || outcome=$?
	rm /run/not-a-kernel
	(refused KernelInvalid '/run/not-a-kernel' xenpodctl create -f /run/bad.json) || outcome=$?
	cp -p /run/xenpodd.yaml.shipped /etc/xenpod/xenpodd.yaml
	systemctl restart xenpodd
	rm /run/xenpodd.yaml /run/xenpodd.yaml.shipped
	expect_ok xenpodctl run --rm base true
	no_leftovers
	return $outcome
}

test_options_that_do_not_exist() {
	local said status=0
	said=$(gdbus call --system -d org.xenpod1 -o /org/xenpod1 -m org.xenpod1.Manager.CreatePod "$(pod o base true)" '{"colour": <"red">}' 2>&1) || status=$?
	[ $status -ne 0 ] || fail "an unknown option was taken: $said"
	[[ $said == *org.freedesktop.DBus.Error.InvalidArgs*colour* ]] || fail "$said"
	expect_equal '' "$(xenpodctl ps -aq)"
	no_leftovers
}
