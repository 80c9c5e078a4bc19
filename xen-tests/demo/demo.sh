#!/bin/bash
# The example pod, from images to clean-up, in dom0 with the package installed. Fails if a step does.
set -euo pipefail
here=$(dirname "$0")
. /opt/lab/suites/lib.sh

step() { printf '\n=== %s\n' "$*"; }
show() {
	printf '$ %s\n' "$*"
	"$@"
}
# property POD NAME: of a pod's object, as JSON.
property() {
	local path
	path=$(busctl --json=short call org.xenpod1 /org/xenpod1 org.xenpod1.Manager GetPod s "$1" | jq -r '.data[0]')
	busctl --json=short get-property org.xenpod1 "$path" org.xenpod1.Pod "$2" | jq -c .data
}

step 'Two images, made of Debian'"'"'s static busybox, in a registry on this machine'
busybox_root /root/client
cp -a /root/client /root/web
mkdir /root/web/www
echo '<h1>Served by a container in a Xen domain of its own</h1>' >/root/web/www/index.html
/opt/lab/suites/mkimage /root/client-image /root/client --cmd sh
/opt/lab/suites/mkimage /root/web-image /root/web --cmd=httpd --cmd=-f --cmd=-h --cmd=/www --port 80/tcp
start_registry 5000
push /root/client-image demo/client:1 5000
push /root/web-image demo/web:1 5000
show curl -s http://127.0.0.1:5000/v2/_catalog

step 'Pulled'
show xenpodctl pull --insecure 127.0.0.1:5000/demo/web:1
show xenpodctl pull --insecure 127.0.0.1:5000/demo/client:1
show xenpodctl images
remember_world

step 'A pod of two containers is started'
show cat "$here/web.yaml"
show xenpodctl create -f "$here/web.yaml"
show xenpodctl start web
address=$(property web Addresses | grep -oE '[0-9]+(\.[0-9]+){3}' | head -n 1)

step 'Its page, as fetched by the container beside the server, by dom0, and by another pod'
within 60 sh -c 'xenpodctl logs web -c client | grep -q Served'
show xenpodctl logs web -c client
show curl -sS --retry 5 --retry-connrefused "http://$address/"
show xenpodctl run --rm --name visitor --memory 32 127.0.0.1:5000/demo/client:1 wget -q -O - "http://$address/"

step 'What Xen, xenpod and the bus know of it'
show xl list
show xenpodctl ps
show busctl --no-pager tree org.xenpod1

step 'How long each phase of its start took'
property web StartPhases | jq -r 'sort_by(.[1]) | .[] | [.[0], .[1] / 1000] | @tsv' |
	awk 'BEGIN { printf "%-16s %s\n", "phase", "ms since the request" } { printf "%-16s %.1f\n", $1, $2 }'

step 'Stopped and removed; nothing is left'
show xenpodctl stop web
show xenpodctl rm web
show xenpodctl ps --all
show xl list
no_leftovers
echo 'No domain, xenstore node, loop device, interface, rule, mount or file is left.'
