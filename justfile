# Tasks, for https://just.systems. Each is a line or two of shell; CONTRIBUTING.md says when to use
# which, and how to do without `just`.

features := "metrics,serde,testing,tracing"
# The models need flags of their own, and so folders of their own: else each build would undo the other.
target := env("CARGO_TARGET_DIR", justfile_directory() / "target")

# What there is.
list:
    @just --list --unsorted

# After every change: formatting, lints and unit tests of the library. Under a minute when warm.
quick:
    cargo fmt --all --check
    cargo clippy -p stockade --features testing -- -D warnings
    cargo test --lib --features testing

# All tests; or one file of them, such as `just test expiry`, and one test in it.
test FILE="" *NAME="":
    cargo test --features {{ features }} {{ if FILE == "" { "" } else { "--test " + FILE } }} {{ NAME }}

# A test that takes long, by name; CONTRIBUTING.md lists them: `just long ten_million_live_holds`.
long NAME:
    cargo test --release --features {{ features }} {{ NAME }} -- --ignored --nocapture

# Lints of everything but the models.
lint:
    cargo fmt --all --check
    cargo clippy --all-targets --features {{ features }} -- -D warnings

# The documentation, as CI builds it.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p stockade --features {{ features }}

# One model by name, or a part of it: `just model law3_one_winner`; all of them without a name.
model NAME="":
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR={{ target }}/loom \
        cargo test --release -p loom-tests --test models -- {{ NAME }}

# Random schedules of the whole engine: one test by name, or all.
schedule NAME="":
    RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR={{ target }}/shuttle \
        cargo test --release -p shuttle-tests -- {{ NAME }}

# Plants one bug, and demands that its tests go red: `just bug publish_relaxed`.
bug NAME:
    loom-tests/planted.sh {{ NAME }}

# Whether every planted bug still applies. Half a second.
bug-check:
    loom-tests/planted.sh --check

# Writes a planted bug anew for code that has changed around it: `just bug-refresh publish_relaxed`.
bug-refresh NAME:
    loom-tests/refresh-planted.sh {{ NAME }}

# One bench: `just bench operations`, `just bench report --quick`, `just bench peers --test`.
bench NAME *ARGS="":
    cargo bench --bench {{ NAME }} -- {{ ARGS }}

# Fuzzes one target, `bytes` or `story`, until it is stopped.
fuzz TARGET:
    cd fuzz && cargo +nightly fuzz run {{ TARGET }} corpus/{{ TARGET }} seeds/{{ TARGET }} -- \
        -rss_limit_mb=1024 -malloc_limit_mb=128 -timeout=10

# The program: `just run flash-sale`.
run *ARGS:
    cargo run --release -- {{ ARGS }}

# What would be published, and a build of it.
package:
    cargo package -p stockade --allow-dirty

# Everything that has to hold before a change goes in, about half an hour.
ci:
    .ci/run
