#!/usr/bin/env bash
# Writes the patch of a planted bug anew, so that it applies to the repository as it is now, with what
# is not committed yet. Git merges: what the patch was made for lies in the history, under the hashes
# in its index lines.
#
#   loom-tests/refresh-planted.sh NAME ...
#   loom-tests/refresh-planted.sh --resolved NAME    after a conflict, see what is printed then
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
unset GIT_INDEX_FILE GIT_WORK_TREE
cd "$root"
GIT_DIR=$(git rev-parse --absolute-git-dir)
export GIT_DIR
work="${CARGO_TARGET_DIR:-$root/target}/planted/refresh"

# A copy of the repository with an index of its own; the project's stays as it is.
in_copy() { (cd "$work/$bug/tree" && GIT_INDEX_FILE="$work/$bug/index" GIT_WORK_TREE="$PWD" git "$@"); }

# Where a file is by now that was moved, as the history tells; the same path if it does not know.
moved() { # path
    local path=$1 commit to
    while [ ! -e "$path" ]; do
        # In what is not committed yet, or in the commit that took it away.
        to=$(git diff -M --name-status --diff-filter=R HEAD "$base" | awk -F '\t' -v p="$path" '$2 == p { print $3 }')
        if [ -z "$to" ]; then
            commit=$(git log -1 --format=%H HEAD -- "$path")
            [ -n "$commit" ] || break
            to=$(git diff -M --name-status --diff-filter=R "$commit^" "$commit" 2>/dev/null |
                awk -F '\t' -v p="$path" '$2 == p { print $3 }')
        fi
        [ -n "$to" ] || break
        path=$to
    done
    echo "$path"
}

write_patch() { # from the copy
    in_copy add -A
    in_copy diff --cached --full-index --no-renames --no-color --no-ext-diff \
        --src-prefix=a/ --dst-prefix=b/ "$base" >"$work/$bug/new.patch"
    if [ ! -s "$work/$bug/new.patch" ]; then
        echo "$bug: changes nothing any more. Plant another bug that breaks the same law, see loom-tests/README.md."
        return 1
    fi
    git apply --check "$work/$bug/new.patch"
    cp "$work/$bug/new.patch" "$here/planted/$bug.patch"
    rm -rf "${work:?}/$bug"
    echo "$bug: written anew. Does it still mean something? loom-tests/planted.sh $bug"
}

refresh() {
    local path to
    [ -e "$here/planted/$bug.patch" ] || { echo "no such bug: $bug"; return 1; }
    rm -rf "${work:?}/$bug"
    mkdir -p "$work/$bug/tree"
    base=$(export GIT_INDEX_FILE="$work/$bug/index" GIT_WORK_TREE="$root" && git add -A && git write-tree)
    echo "$base" >"$work/$bug/base"
    in_copy checkout-index -a -u
    cp "$here/planted/$bug.patch" "$work/$bug/old.patch"
    for path in $(sed -n 's#^--- a/##p' "$work/$bug/old.patch"); do
        to=$(moved "$path")
        [ "$to" = "$path" ] || echo "$bug: $path is $to by now"
        sed -i -E "/^(diff --git|---|\+\+\+) /s#([ab])/$path( |\$)#\1/$to\2#g" "$work/$bug/old.patch"
    done
    if in_copy apply --3way "$work/$bug/old.patch" 2>"$work/$bug/log"; then
        write_patch
        return
    fi
    cat "$work/$bug/log"
    cat <<END
$bug: git can't tell how the bug looks by now. In the copy
    $work/$bug/tree
plant it by hand: where there are marks of a conflict, leave the code with the bug. Then say
    loom-tests/refresh-planted.sh --resolved $bug
If the place is gone, plant another bug there that breaks the same law.
END
    return 1
}

resolved() {
    [ -e "$work/$bug/base" ] || { echo "no conflict is open: $bug"; return 1; }
    base=$(cat "$work/$bug/base")
    if grep -rnE '^(<<<<<<<|>>>>>>>) ' "$work/$bug/tree" --include='*.rs'; then
        echo "$bug: there are marks of a conflict left"
        return 1
    fi
    write_patch
}

what=refresh
[ "${1-}" != --resolved ] || { what=resolved && shift; }
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" && exit 1; }
failed=0
for bug in "$@"; do
    # Not as a condition: a command that fails would not end it.
    set +e
    (set -e && "$what")
    [ $? = 0 ] || failed=1
    set -e
done
exit $failed
