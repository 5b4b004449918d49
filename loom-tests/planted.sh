#!/usr/bin/env bash
# Plants each bug of planted.txt, and demands that the tests named beside it go red: that they run
# and fail, where they pass without it. Prints a table; exit code 1 if a bug was not caught.
#
#   loom-tests/planted.sh              all of them
#   loom-tests/planted.sh NAME ...     these bugs only
#   loom-tests/planted.sh --tested     all, where the tests have passed just now without any
set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
work="$target/planted"
mkdir -p "$work"
unset RUSTFLAGS

list() { # kind -> "planted where test" lines, those asked for only
    sed 's/#.*//' "$here/planted.txt" |
        awk -v kind="$1" -v asked=" $asked " \
            '$1 == kind && (asked == "  " || index(asked, " " $2 " ")) { print $2, $3, $4 }'
}

build_and_run() { # kind, bug, where, tests... -> output of cargo test on stdout and in $log
    local kind=$1 bug=$2 where=$3
    shift 3
    mkdir -p "$work/wrappers/$kind"
    ln -sf "$here/planted-rustc.sh" "$work/wrappers/$kind/$bug"
    # Where the models are run, what they depend on is built already.
    export RUSTC_WORKSPACE_WRAPPER="$work/wrappers/$kind/$bug" CARGO_TARGET_DIR="$target/$kind"
    local command
    if [ "$kind" = loom ]; then
        # The models spend their time in loom, so only the models' own build is left unoptimised.
        export RUSTFLAGS="--cfg loom" CARGO_PROFILE_RELEASE_DEBUG=0
        command=(cargo test --release -p loom-tests --test models
            --config 'profile.release.package.loom-tests.opt-level=0')
    elif [ "$kind" = shuttle ]; then
        export RUSTFLAGS="--cfg shuttle" CARGO_PROFILE_RELEASE_DEBUG=0 RUST_BACKTRACE=0
        # Most are found at once, so that building takes longer than looking.
        command=(cargo test --release -p shuttle-tests --test "$where"
            --config 'profile.release.package.stockade.opt-level=0'
            --config 'profile.release.package.shuttle-tests.opt-level=0')
    else
        unset RUSTFLAGS
        # In a folder of its own: a program with a bug in it must not lie where a sound one is looked for.
        export CARGO_TARGET_DIR="$work/test"
        # A planted failure is no regression to remember.
        export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 CARGO_PROFILE_DEV_DEBUG=0
        case $where in
        cli) command=(cargo test -p stockade-cli --test cli) ;;
        lib) command=(cargo test -p stockade --features testing --lib) ;;
        *) command=(cargo test -p stockade --features testing --test "$where") ;;
        esac
    fi
    "${command[@]}" --no-run >"$log" 2>&1 || return 1
    # A bug may also make a test run for ever.
    timeout 300 "${command[@]}" -- --exact "$@" >"$log" 2>/dev/null
    return 0
}

tested=
[ "${1-}" != --tested ] || { tested=yes && shift; }
asked="$*"
row() { printf '%-12s %-28s %s\n' "$1" "$2" "$3"; }

check() { # kind, bug, where, expected result, label; tests from stdin
    local kind=$1 bug=$2 where=$3 expected=$4 label=$5 tests
    mapfile -t tests
    if ! build_and_run "$kind" "$bug" "$where" "${tests[@]}"; then
        row "NO BUILD" "$bug" "$where"
        grep -m 5 -A 6 '^error' "$log"
        failures=$((failures + 1))
        return
    fi
    for test in "${tests[@]}"; do
        rows=$((rows + 1))
        if grep -q "^test $test \.\.\. $expected" "$log"; then
            row "$label" "$bug" "$test"
        else
            row "NOT $label" "$bug" "$test"
            failures=$((failures + 1))
        fi
    done
}

check_kind() { # kind -> adds to $rows and $failures
    local kind=$1 lines bug where
    # Models live in one program, whose tests bear their file's name in front.
    lines=$(list "$kind" | awk -v kind="$kind" \
        '{ if (kind == "loom") print $1, "models", $2 "::" $3; else print }')
    [ -n "$lines" ] || return 0
    # Without a bug, each must pass: else going red would show nothing.
    [ -n "$tested" ] || while read -r where; do
        check "$kind" none "$where" ok green \
            < <(awk -v w="$where" '$2 == w { print $3 }' <<<"$lines" | sort -u)
    done < <(awk '{ print $2 }' <<<"$lines" | sort -u)
    while read -r bug where; do
        check "$kind" "$bug" "$where" FAILED caught \
            < <(awk -v b="$bug" -v w="$where" '$1 == b && $2 == w { print $3 }' <<<"$lines")
    done < <(awk '{ print $1, $2 }' <<<"$lines" | sort -u)
}

check_kinds() { # lane, kinds... -> "rows failures" in the lane's tally
    local log="$work/$1.log" tally="$work/$1.tally" rows=0 failures=0 kind
    shift
    for kind in "$@"; do check_kind "$kind"; done
    echo "$rows $failures" >"$tally"
}

# Side by side: most of the time goes into building one crate, which keeps one core busy.
rm -f "$work"/*.tally
check_kinds models loom shuttle &
check_kinds tests test ${asked:+hand} &
wait
read -r rows failures < <(awk '{ r += $1; f += $2 } END { if (NR == 2) print r, f }' "$work"/*.tally)

if [ "${rows:-0}" = 0 ]; then
    echo "no such bug in planted.txt, or a lane that did not end: $asked"
    exit 1
fi
echo "$failures of $rows checks failed"
[ "$failures" = 0 ]
