#!/bin/sh
# Stands in for the compiler of this workspace's crates (RUSTC_WORKSPACE_WRAPPER) and plants the bug
# that it is called by: planted.sh makes a link to it for each. Cargo keeps what each wrapper built
# apart and leaves the dependencies alone, so that one bug costs one small build.
exec "$@" --cfg "planted=\"$(basename "$0")\""
