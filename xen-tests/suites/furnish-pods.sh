#!/bin/bash
# What suites about pods begin with: the image `base`, and a first pod that came and went. What stays with the first of them is
# there then: the loop device of the image, the bridge, its rules.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh
. ./pods.sh
import_base
expect_ok xenpodctl run --rm base true
