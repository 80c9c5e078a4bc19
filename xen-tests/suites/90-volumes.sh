# Volumes, and what is given beside a manifest: seen from inside the containers, and nowhere else.
# lab:
# furnish: furnish-pods.sh

. /opt/lab/suites/pods.sh

setup() {
	mkdir -p /run/given/app
	printf 'colour=red\n' >/run/given/app/app.conf
	printf 'blue' >/run/given/app/SHADE
	printf 'a-word-that-stands-nowhere-else' >/run/given/password
	head -c 600000 /dev/urandom >/run/given/big
	cat >/run/given/pod.yaml <<-'Y'
		apiVersion: v1
		kind: Pod
		metadata:
		  name: given
		  labels: {tier: front}
		  annotations: {xenpod.org/memory: 64Mi, xenpod.org/volume-owner: "owned=33:34"}
		spec:
		  restartPolicy: Never
		  terminationGracePeriodSeconds: 1
		  volumes:
		    - {name: conf, configMap: {name: app, defaultMode: 0640}}
		    - {name: keys, secret: {secretName: db, items: [{key: password, path: deep/pw, mode: 0400}]}}
		    - {name: owned, secret: {secretName: db}}
		    - name: all
		      projected:
		        sources:
		          - configMap: {name: app, items: [{key: app.conf, path: app.conf}]}
		          - secret: {name: db, items: [{key: big, path: big}]}
		          - downwardAPI:
		              items:
		              - {path: labels, fieldRef: {fieldPath: metadata.labels}}
		              - {path: memory, resourceFieldRef: {containerName: main, resource: limits.memory, divisor: 1Mi}}
		    - {name: none, configMap: {name: absent, optional: true}}
		  containers:
		    - name: main
		      image: base
		      command: [sleep, "100000"]
		      envFrom: [{prefix: APP_, configMapRef: {name: app}}]
		      env:
		        - {name: PW, valueFrom: {secretKeyRef: {name: db, key: password}}}
		        - {name: URL, value: "db://me:$(PW)@host"}
		        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
		        - {name: CPUS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
		        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
		        - {name: MAYBE, valueFrom: {configMapKeyRef: {name: absent, key: x, optional: true}}}
		      volumeMounts:
		        - {name: conf, mountPath: /conf}
		        - {name: keys, mountPath: /keys}
		        - {name: owned, mountPath: /owned}
		        - {name: all, mountPath: /all}
		        - {name: none, mountPath: /none}
		        - {name: conf, mountPath: /etc/one.conf, subPath: app.conf}
	Y
	remember_world
}

given=(--config-map app=/run/given/app --secret db=/run/given/password --secret db=big=/run/given/big)

in_it() {
	xenpodctl exec given -- "$@"
}

test_what_is_given_is_seen_in_the_container_and_nowhere_else() {
	expect_ok xenpodctl create -f /run/given/pod.yaml "${given[@]}"
	expect_ok xenpodctl start given
	expect_equal 'SHADE app.conf' "$(in_it ls /conf | xargs)"
	expect_equal colour=red "$(in_it cat /conf/app.conf)"
	expect_equal '640 0 0' "$(in_it stat -c '%a %u %g' /conf/app.conf)"
	expect_equal '400 0 0' "$(in_it stat -c '%a %u %g' /keys/deep/pw)"
	expect_equal 'big password' "$(in_it ls /owned | xargs)"
	expect_equal '644 33 34' "$(in_it stat -c '%a %u %g' /owned/password)"
	expect_equal "$(md5sum </run/given/big)" "$(in_it cat /all/big | md5sum)"
	expect_equal 'tier="front"' "$(in_it cat /all/labels)"
	expect_equal '64 1' "$(in_it sh -c 'echo $(cat /all/memory) $CPUS')"
	expect_equal '' "$(in_it ls /none)"
	expect_equal colour=red "$(in_it cat /etc/one.conf)"
	# In memory, and not to be written by the container.
	expect_equal tmpfs "$(in_it awk '$2 == "/keys" { print $3 }' /proc/mounts)"
	expect_fail_with 'Read-only file system' in_it sh -c 'echo x >/conf/app.conf'
	# The environment of the container itself, and of a command in it.
	expect_equal 'db://me:a-word-that-stands-nowhere-else@host' "$(in_it sh -c "tr '\0' '\n' </proc/1/environ | sed -n 's/^URL=//p'")"
	expect_equal 'db://me:a-word-that-stands-nowhere-else@host' "$(in_it env | sed -n 's/^URL=//p')"
	expect_equal "blue given $(pod_ip given)" "$(in_it sh -c 'echo $APP_SHADE $NAME $IP')"
	expect_status 1 in_it sh -c 'env | grep MAYBE'
	# Not on the bus, in no file of the daemon's, in no log.
	xenpodctl --json inspect given >/run/shown
	busctl introspect --no-pager --full org.xenpod1 "$(busctl tree --list --no-pager org.xenpod1 | grep -m1 'pod/[^/]*$')" >>/run/shown
	journalctl -b --no-pager >>/run/shown
	expect_status 1 grep -q a-word-that /run/shown
	expect_equal '' "$(grep -rls -D skip --exclude=scratch.img a-word-that /var/lib/xenpod /run/xenpod /var/cache/xenpod || true)"
	rm /run/shown
	gone given
	no_leftovers
}

test_it_lives_on_in_the_guest_over_a_restart_of_the_daemon() {
	expect_ok xenpodctl create -f /run/given/pod.yaml "${given[@]}"
	expect_ok xenpodctl start given
	systemctl restart xenpodd
	expect_equal running "$(state given)"
	expect_equal a-word-that-stands-nowhere-else "$(in_it sh -c 'cat /keys/deep/pw')"
	expect_equal a-word-that-stands-nowhere-else "$(in_it sh -c 'echo $PW')"
	gone given
	no_leftovers
}

test_a_stopped_pod_needs_it_again() {
	expect_ok xenpodctl create -f /run/given/pod.yaml "${given[@]}"
	expect_ok xenpodctl start given
	expect_ok xenpodctl stop given
	expect_fail_with 'volume "conf" needs config map "app", which was not given; give it with the option config_maps (--config-map app=' \
		xenpodctl start given
	expect_equal stopped "$(state given)"
	expect_ok xenpodctl start "${given[@]}" given
	expect_equal colour=red "$(in_it cat /conf/app.conf)"
	gone given
	no_leftovers
}

test_what_is_missing_or_wrong_is_refused_before_anything_is_made() {
	expect_fail_with 'pod given: volume "conf" needs config map "app", which was not given' xenpodctl create -f /run/given/pod.yaml
	expect_fail_with 'needs key "password" of secret "db"' \
		xenpodctl create -f /run/given/pod.yaml --config-map app=/run/given/app --secret db=big=/run/given/big
	head -c 1100000 /dev/zero >/run/given/huge
	expect_fail_with 'secret "db" has 1048577 bytes; the limit is 1048576' \
		xenpodctl create -f /run/given/pod.yaml --config-map app=/run/given/app --secret db=password=/run/given/huge
	expect_fail_with 'is to be NAME=PATH or NAME=KEY=PATH' xenpodctl create -f /run/given/pod.yaml --secret db
	printf 'a\0b' >/run/given/nul
	expect_fail_with 'key "password" of secret "db" holds a NUL character' \
		xenpodctl create -f /run/given/pod.yaml --config-map app=/run/given/app --secret db=/run/given/big --secret db=password=/run/given/nul
	expect_equal '' "$(xenpodctl ps -aq)"
	rm /run/given/huge /run/given/nul
	no_leftovers
}

test_it_may_stand_in_the_manifests_file() {
	cat >/run/all.yaml <<-'Y'
		apiVersion: v1
		kind: ConfigMap
		metadata: {name: words}
		data: {greeting: "hello from a map"}
		---
		apiVersion: v1
		kind: Pod
		metadata: {name: talker, annotations: {xenpod.org/memory: 48Mi}}
		spec:
		  restartPolicy: Never
		  containers:
		    - name: main
		      image: base
		      command: [sh, -c, 'echo $(greeting), $(cat /s/key)']
		      envFrom: [{configMapRef: {name: words}}]
		      volumeMounts: [{name: s, mountPath: /s}]
		  volumes: [{name: s, secret: {secretName: hidden}}]
		---
		apiVersion: v1
		kind: Secret
		metadata: {name: hidden}
		data: {key: aHVzaA==}
	Y
	expect_equal 'hello from a map, hush' "$(xenpodctl run --rm -f /run/all.yaml)"
	sed -i 's/image: base/imagee: base/' /run/all.yaml
	expect_fail_with 'line 13: spec.containers[0].imagee' xenpodctl run --rm -f /run/all.yaml
	rm /run/all.yaml
	no_leftovers
}

test_without_a_manifest_it_has_its_place() {
	expect_equal 'a-word-that-stands-nowhere-else red' \
		"$(xenpodctl run --rm --secret db=/run/given/password --config-map app=colour=<(printf red) base -- \
			sh -c 'echo $(cat /run/secrets/db/password) $(cat /run/configs/app/colour)')"
	no_leftovers
}

test_secrets_are_no_texts_on_the_bus() {
	expect_fail_with 'option secrets must be of type a{sa{sh}}' busctl call org.xenpod1 /org/xenpod1 org.xenpod1.Manager CreatePod 'sa{sv}' \
		"$(pod other base true)" 1 secrets 'a{sa{ss}}' 1 db 1 pw hush
	no_leftovers
}

test_empty_directories_are_shared_and_their_limits_hold() {
	cat >/run/empty.yaml <<-'Y'
		apiVersion: v1
		kind: Pod
		metadata: {name: empty, annotations: {xenpod.org/memory: 96Mi}}
		spec:
		  restartPolicy: Never
		  terminationGracePeriodSeconds: 1
		  securityContext: {fsGroup: 2000, runAsUser: 1000, runAsGroup: 1000}
		  volumes:
		    - {name: plain, emptyDir: {}}
		    - {name: memory, emptyDir: {medium: Memory, sizeLimit: 2Mi}}
		    - {name: disk, emptyDir: {sizeLimit: 8Mi}}
		  containers:
		    - name: one
		      image: base
		      command: [sleep, "100000"]
		      volumeMounts: [{name: plain, mountPath: /plain}, {name: memory, mountPath: /memory}, {name: disk, mountPath: /disk}]
		    - name: two
		      image: base
		      command: [sleep, "100000"]
		      volumeMounts: [{name: plain, mountPath: /part, subPath: a/b}, {name: memory, mountPath: /m, readOnly: true}, {name: disk, mountPath: /d}]
	Y
	expect_ok xenpodctl create -f /run/empty.yaml
	expect_ok xenpodctl start empty
	one() { xenpodctl exec empty -c one -- "$@"; }
	two() { xenpodctl exec empty -c two -- "$@"; }
	expect_equal '1000 1000 2000' "$(one sh -c 'echo $(id -u) $(id -g) $(id -G | tr " " "\n" | grep 2000)')"
	expect_equal '2777 2000' "$(one stat -c '%a %g' /plain)"
	expect_ok one sh -c 'echo shared >/memory/x; echo limited >/disk/x; echo part >/plain/a/b/x'
	expect_equal 2000 "$(one stat -c %g /disk/x)"
	expect_equal 'shared limited part' "$(two sh -c 'echo $(cat /m/x) $(cat /d/x) $(cat /part/x)')"
	expect_fail_with 'Read-only file system' two touch /m/y
	expect_fail_with 'No space left on device' one dd if=/dev/zero of=/memory/big bs=64k count=64
	expect_fail_with 'No space left on device' one dd if=/dev/zero of=/disk/big bs=64k count=256
	expect_ok one dd if=/dev/zero of=/plain/big bs=64k count=256
	expect_equal 3 "$(find /var/lib/xenpod/pods -name '*.img' -o -name record.json | wc -l)"
	# Empty again at the next start.
	expect_ok xenpodctl stop empty
	expect_equal '' "$(find /var/lib/xenpod/pods -name '*.img')"
	expect_ok xenpodctl start empty
	expect_equal '' "$(one ls /disk /memory /plain | grep -v : | tr -d '\n' | sed 's/^a$//')"
	gone empty
	rm /run/empty.yaml
	no_leftovers
}
