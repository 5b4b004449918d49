#!/usr/bin/env bash
# Plants each bug of planted.txt, and demands that the tests named beside it go red: that they run
# and fail, where they pass without it. A bug is a patch, `planted/NAME.patch`; it is applied to a
# copy of this repository. Prints a table; exit code 1 if a bug was not caught, or its patch does not
# apply, or what it makes does not build.
#
#   loom-tests/planted.sh              all of them
#   loom-tests/planted.sh NAME ...     these bugs only
#   loom-tests/planted.sh --all-is-green [NAME ...]
#                                      somebody has just run all tests and models, and they passed:
#                                      they are not run again without a bug. So nobody looks
#                                      whether a test lacks something in the copy; run it without
#                                      this now and then
#   loom-tests/planted.sh --all-is-green --share 1/3
#                                      the bugs with the numbers 1, 4, 7, ... of their list: for a
#                                      CI run that has no time for all
#   loom-tests/planted.sh --check      plants nothing: does each patch apply, and has each bug its
#                                      rows and its patch?
set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
unset RUSTFLAGS RUSTDOCFLAGS GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE

# How tests are built and run: sets `command`, and what it needs in the environment. This is the one
# place that knows packages, features and flags.
cargo_command() { # kind, where, green or red
    local kind=$1 where=$2 colour=$3
    # A bug is a few lines of one crate: what depends on none of them is not built again.
    export CARGO_TARGET_DIR="$work/$kind" CARGO_INCREMENTAL=1
    unset RUSTFLAGS
    case "$kind" in
    loom)
        # The models spend their time in loom, so only the models' own build is left unoptimised.
        export RUSTFLAGS="--cfg loom" CARGO_PROFILE_RELEASE_DEBUG=0
        command=(cargo test --release -p loom-tests --test models
            --config 'profile.release.package.loom-tests.opt-level=0')
        ;;
    shuttle)
        export RUSTFLAGS="--cfg shuttle" CARGO_PROFILE_RELEASE_DEBUG=0 RUST_BACKTRACE=0
        command=(cargo test --release -p shuttle-tests --test "$where")
        if [ "$colour" = green ]; then
            # All schedules are run: worth an optimised build, which is better made in one piece.
            export CARGO_INCREMENTAL=0
        else
            # Most bugs are found at once, so that building takes longer than looking.
            command+=(--config 'profile.release.package.stockade.opt-level=0'
                --config 'profile.release.package.shuttle-tests.opt-level=0')
        fi
        ;;
    *)
        # A planted failure is no regression to remember.
        export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 CARGO_PROFILE_DEV_DEBUG=0
        case "$where" in
        lib) command=(cargo test -p stockade --features testing --lib) ;;
        cli) command=(cargo test -p stockade-cli --test cli) ;;
        *) command=(cargo test -p stockade --features testing --test "$where") ;;
        esac
        ;;
    esac
}

# kind, bug, where, test: one row a line. Models are one program, and their tests bear the file's
# name in front. Tests that are quick to build are a kind of their own, for a lane of their own.
rows() {
    sed 's/#.*//' "$here/planted.txt" | awk -v share="${share-}" 'BEGIN { split(share, part, "/") } NF {
        if (!($2 in number)) number[$2] = count++
        if (share != "" && number[$2] % part[2] != part[1]) next
        kind = ($1 == "test" && $3 != "journal" && $3 != "lib") ? "quick" : $1
        print kind, $2, ($1 == "loom" ? "models" : $3), ($1 == "loom" ? $3 "::" : "") $4
    }'
}

# Whether planted.txt and the patches name the same bugs, and each patch applies.
check_patches() {
    local bad=0 bug line
    while read -r line; do
        echo "not a row: $line"
        bad=1
    done < <(rows | awk 'NF != 4 || $1 !~ /^(loom|shuttle|test|quick|hand)$/')
    while read -r bug; do
        echo "no patch: planted.txt names $bug, and there is no loom-tests/planted/$bug.patch"
        bad=1
    done < <(comm -23 <(rows | awk '{ print $2 }' | sort -u) <(patches | sort))
    while read -r bug; do
        echo "no row: planted.txt names no test for loom-tests/planted/$bug.patch"
        bad=1
    done < <(comm -13 <(rows | awk '{ print $2 }' | sort -u) <(patches | sort))
    for bug in $(patches); do
        if ! git -C "$root" apply --check "$here/planted/$bug.patch"; then
            echo "does not apply: $bug (loom-tests/refresh-planted.sh $bug)"
            bad=1
        fi
        if grep '^index ' "$here/planted/$bug.patch" | grep -qvE '^index [0-9a-f]{40}\.\.[0-9a-f]{40}'; then
            echo "made without --full-index, and can't be refreshed: $bug"
            bad=1
        fi
    done
    return $bad
}

patches() {
    local file
    for file in "$here"/planted/*.patch; do
        [ -e "$file" ] && basename "$file" .patch
    done
}

# Makes `tree` a copy of the repository as it is now. A file whose content is the same is left alone,
# and any other gets the time of now: cargo goes by times, and an earlier run may have left a bug, and
# built it.
copy_to() { # tree
    local tree=$1 file
    mkdir -p "$tree"
    (cd "$root" && git ls-files -co --exclude-standard -z) >"$tree.files" || return 1
    while IFS= read -r -d '' file; do
        [ -f "$root/$file" ] || continue
        cmp -s "$root/$file" "$tree/$file" && continue
        mkdir -p "$tree/$(dirname "$file")" && rm -f "$tree/$file" &&
            cp --preserve=mode "$root/$file" "$tree/$file" || return 1
    done <"$tree.files"
    # What is there no more.
    while IFS= read -r -d '' file; do
        [ -f "$root/$file" ] || rm -f "$tree/$file"
    done < <(cd "$tree" && find . -type f -printf '%P\0')
}

# With the seconds that building and running took.
row() { printf '%-12s %4s s  %-28s %s\n' "$1" "${4-}" "$2" "$3"; }

# Runs tests in the lane's copy, as it is: each must run, and end as is expected.
check() { # kind, bug, where, green or red; tests from stdin
    local kind=$1 bug=$2 where=$3 colour=$4 command tests test expected=ok label=green limit=1200
    local began=$SECONDS
    mapfile -t tests
    # A bug may make a test run for ever.
    [ "$colour" = green ] || expected=FAILED label=caught limit=300
    cargo_command "$kind" "$where" "$colour"
    if ! "${command[@]}" --no-run >"$log" 2>&1; then
        row "NO BUILD" "$bug" "$where"
        grep -m 5 -A 6 '^error' "$log"
        failures=$((failures + 1))
        return
    fi
    timeout "$limit" "${command[@]}" -- --exact "${tests[@]}" >"$log" 2>/dev/null
    for test in "${tests[@]}"; do
        checks=$((checks + 1))
        if grep -q "^test $test \.\.\. $expected" "$log"; then
            row "$label" "$bug" "$test" $((SECONDS - began))
        else
            row "NOT $label" "$bug" "$test" $((SECONDS - began))
            failures=$((failures + 1))
            cp "$log" "$work/$kind-$bug.log"
        fi
    done
}

check_kind() { # kind -> adds to $checks and $failures
    local kind=$1 lines bug where
    lines=$(rows | awk -v kind="$kind" -v asked=" $asked " \
        '$1 == kind && (asked == "  " || index(asked, " " $2 " ")) { print $2, $3, $4 }')
    [ -n "$lines" ] || return 0
    # Without a bug, each must pass: else going red would show nothing. And in this copy: one that
    # lacks what a test needs would catch everything.
    if [ -z "$all_is_green" ]; then
        while read -r where; do
            check "$kind" none "$where" green \
                < <(awk -v w="$where" '$2 == w { print $3 }' <<<"$lines" | sort -u)
        done < <(awk '{ print $2 }' <<<"$lines" | sort -u)
    fi
    while read -r bug; do
        # The lane's folder lies in the project's: git is not to look for one around it.
        if ! GIT_CEILING_DIRECTORIES="$(dirname "$tree")" git -C "$tree" apply "$here/planted/$bug.patch"; then
            row "NO PATCH" "$bug" "$kind"
            failures=$((failures + 1))
            continue
        fi
        while read -r where; do
            check "$kind" "$bug" "$where" red \
                < <(awk -v b="$bug" -v w="$where" '$1 == b && $2 == w { print $3 }' <<<"$lines")
        done < <(awk -v b="$bug" '$1 == b { print $2 }' <<<"$lines" | sort -u)
        GIT_CEILING_DIRECTORIES="$(dirname "$tree")" git -C "$tree" apply -R "$here/planted/$bug.patch" ||
            return 1
    done < <(awk '{ print $1 }' <<<"$lines" | sort -u)
}

lane() { # lane, kinds... -> "checks failures" in the lane's tally
    local lane=$1 tree="$work/$1/tree" log="$work/$1.log" checks=0 failures=0 kind
    shift
    copy_to "$tree" && cd "$tree" || return 1
    for kind in "$@"; do check_kind "$kind" || return 1; done
    echo "$checks $failures" >"$work/$lane.tally"
}

check_patches || exit 1
[ "${1-}" != --check ] || { patches | wc -l | sed 's/$/ planted bugs: each applies, and has its rows/' && exit; }
all_is_green=
[ "${1-}" != --all-is-green ] || { all_is_green=yes && shift; }
share=
if [ "${1-}" = --share ]; then
    [[ "${2-}" =~ ^[0-9]+/[1-9][0-9]*$ ]] || { echo "--share takes K/N, not '${2-}'" && exit 1; }
    share=$2
    shift 2
fi
asked="$*"
for bug in "$@"; do
    [ -e "$here/planted/$bug.patch" ] || { echo "no such bug in planted.txt: $bug" && exit 1; }
done

work="${CARGO_TARGET_DIR:-$root/target}/planted"
mkdir -p "$work"
work=$(cd "$work" && pwd)
exec 9>"$work/lock"
flock -n 9 || { echo "another one is running: it has the copies in $work" && exit 1; }
rm -f "$work"/*.tally "$work"/*-*.log

trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM
# Side by side: most of the time goes into building one crate, which keeps one core busy, and into tests
# that wait for something.
lane models loom shuttle &
lane tests test ${asked:+hand} &
lane quick-tests quick &
wait
read -r checks failures < <(cat "$work"/*.tally 2>/dev/null | awk '{ c += $1; f += $2 } END { if (NR == 3) print c, f }')

times >"$work/times"
echo "$SECONDS seconds; processor time of user and system: $(tail -n 1 "$work/times")"
if [ "${checks:-0}" = 0 ]; then
    echo "a lane did not come to its end"
    exit 1
fi
echo "$failures of $checks checks failed"
[ "$failures" = 0 ]
