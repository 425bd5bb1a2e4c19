#!/bin/sh
# compatible.sh NAME FILE: refuse FILE unless its version tells how it differs from the newest published contract NAME.
# A breaking change asks for a new major number, an addition for a new minor one, anything else for a new patch.
set -eu
cd "$(dirname "$0")/../.."
newest=$(ls openapi/published/"$1"-*.yaml | sort -V | tail -n 1)
exec npx --no-install redocly diff "$newest" "$2" --fail-on none --check-version
