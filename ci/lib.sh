# What the checks share. Sourced by each of them, from the repository's root.

# Subfolders of this take what is built with other flags than a plain build's, so that the checks
# do not undo each other's work.
target="${CARGO_TARGET_DIR:-$PWD/target}"

# What is built here is built once, and nobody steps through it: where it panicked, a panic tells
# without debug information, too. A build of the tests takes a fifth less than with lines.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_RELEASE_DEBUG=0

# For checks that show stacks, which tell nothing without lines.
with_lines() {
    export CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_PROFILE_RELEASE_DEBUG=line-tables-only
}

# A compiler that sets this --cfg, to be cargo's RUSTC_WORKSPACE_WRAPPER: only what is in the workspace
# is built anew for it, and not what that depends on, as by RUSTFLAGS.
rustc_with() {
    local wrapper="$target/rustc-$1"
    # Cargo would take one that has been written again for another one.
    if [[ ! -x $wrapper ]]; then
        mkdir -p "$target"
        printf '#!/bin/sh\nexec "$@" --cfg %s\n' "$1" >"$wrapper"
        chmod +x "$wrapper"
    fi
    echo "$wrapper"
}

# A check that cannot run has not passed: it says so and fails, with a status of its own.
cannot_run() {
    echo "CANNOT RUN: $(basename "$0"): $*" >&2
    exit 2
}

# Runs a command for so many seconds at most: what is wrong with a concurrent map may well hang.
# Everything that the command has started ends with it, then or when the check is interrupted;
# hence the detour through the background, for `timeout` puts it out of the terminal's reach.
limited() {
    timeout --kill-after=10 "$@" &
    local pid=$!
    trap 'kill "$pid"; wait "$pid" || true; exit 130' INT TERM
    local status=0
    wait "$pid" || status=$?
    trap - INT TERM
    ((status != 124 && status != 137)) || echo "OUT OF TIME: ${*:2}, after $1 s" >&2
    return "$status"
}

# The programs of tests that cargo builds when it is called with these arguments, a line each. What it
# says meanwhile goes to standard error.
test_programs() {
    CARGO_TERM_COLOR=never cargo "$@" --no-run 2>&1 | tee >(cat >&2) |
        sed -n 's/^ *Executable .*(\(.*\))$/\1/p'
}

# Runs a program of tests with these arguments. It is quiet if it passes; one that runs no test does
# not. Exported, for `xargs` to run several at a time.
passes() {
    local output name
    name="$(basename "$1") ${*:2}"
    if output=$("$@" 2>&1) && grep -q '^test result: ok\. [1-9]' <<<"$output"; then
        echo "$name: $(grep '^test result: ok\.' <<<"$output")"
    else
        printf '%s: FAILED\n%s\n' "$name" "$output"
        return 1
    fi
}
export -f passes

# Exits unless a nightly toolchain is at hand or can be had.
need_nightly() {
    command -v rustup >/dev/null || cannot_run "needs a nightly toolchain, and rustup to select it"
    cargo +nightly --version >/dev/null 2>&1 ||
        timeout 300 rustup toolchain install nightly --profile minimal ||
        cannot_run "needs a nightly toolchain: rustup toolchain install nightly"
}

# The integration tests, but for the one that runs a compiler itself: other flags than a plain build's
# do not reach that compiler.
integration_tests() {
    local file
    for file in tests/*.rs tests/*/main.rs; do
        [[ -e $file && $file != tests/compile_fail.rs ]] || continue
        file="${file%/main.rs}"
        printf -- '--test %s ' "$(basename "$file" .rs)"
    done
}
