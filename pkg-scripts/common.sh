# shellcheck shell=bash
# Shared by the scripts in this folder: paths, output, and which Rust builds for this machine and for the
# browser. Sourced, never run.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRIPTS=$ROOT/pkg-scripts
CACHE=${LORALOOM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/loraloom}
NIGHTLY=${LORALOOM_NIGHTLY:-nightly}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
found() { printf '   %-14s %s\n' "$1" "$2"; }

# fail WHAT [WHAT TO DO]: prints an error with the next step, and exits.
fail() {
  printf '\nerror: %s\n' "$1" >&2
  shift
  local line
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# at_least WANTED FOUND: succeeds if version FOUND is WANTED or newer.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

# The value of `key = "value"` in Cargo.toml.
manifest_value() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" "$ROOT/Cargo.toml" | head -n1; }

# The locked version of a crate: the command line tool must match it exactly.
locked_version() { grep -A1 "^name = \"$1\"$" "$ROOT/Cargo.lock" | sed -n 's/^version = "\(.*\)"/\1/p' | head -n1; }

rust_version() { "$1" --version 2>/dev/null | sed -n 's/^[a-z]* \([0-9][0-9.]*\).*/\1/p'; }

# --- Rust for this machine ------------------------------------------------------------------

# Sets NATIVE_CARGO and NATIVE_ROUTE; fails if no cargo is new enough.
find_native_rust() {
  local wanted candidate
  wanted=$(manifest_value rust-version)
  for candidate in cargo "$HOME/.cargo/bin/cargo" /usr/bin/cargo; do
    have "$candidate" || continue
    # cargo alone is not enough: rustup leaves its proxy behind when a toolchain is missing.
    (cd "$ROOT" && at_least "$wanted" "$(rust_version "$candidate")") || continue
    NATIVE_CARGO=$(command -v "$candidate")
    if [ "$NATIVE_CARGO" = /usr/bin/cargo ]; then NATIVE_ROUTE=Debian; else NATIVE_ROUTE=rustup; fi
    return 0
  done
  return 1
}

native_cargo() {
  if [ "$NATIVE_ROUTE" = Debian ]; then
    (cd "$ROOT" && PATH=/usr/bin:$PATH "$NATIVE_CARGO" "$@")
  else
    (cd "$ROOT" && "$NATIVE_CARGO" "$@")
  fi
}

# The features that lints, tests and the programs beside them are compiled with: with the same, and for the
# whole workspace, each is compiled once.
DEVELOPMENT_FEATURES=bench,gpu,typescript

# --- Rust for the browser -------------------------------------------------------------------
# Threads need a standard library built with atomics, so a compiler that takes -Z options and the
# library's source: rustup's nightly with rust-src, or Debian's packages.

debian_wasm_packages=(rustc-web cargo-web rust-web-src rust-web-llvm lld-22)

nightly_is_complete() {
  have rustup || return 1
  local sysroot
  sysroot=$(RUSTUP_AUTO_INSTALL=0 rustup run "$NIGHTLY" rustc --print sysroot 2>/dev/null) || return 1
  [ -f "$sysroot/lib/rustlib/src/rust/library/Cargo.lock" ]
}

debian_rust_is_complete() {
  [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && [ -e /usr/bin/rust-lld ] || return 1
  at_least "$(manifest_value rust-version)" "$(rust_version /usr/bin/cargo)" || return 1
  [ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]
}

# Sets WASM_ROUTE; fails if neither is installed.
find_wasm_rust() {
  if nightly_is_complete; then WASM_ROUTE="rustup's $NIGHTLY"
  elif debian_rust_is_complete; then WASM_ROUTE="Debian's packages"
  else return 1; fi
}

wasm_rust_version() {
  case $WASM_ROUTE in
    rustup*) rustup run "$NIGHTLY" rustc --version ;;
    *) /usr/bin/rustc --version ;;
  esac
}

# Enables nightly features in Debian's stable compiler.
debian_rust() { (cd "$ROOT" && PATH=/usr/bin:$PATH CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 "$@"); }

wasm_cargo() {
  case $WASM_ROUTE in
    rustup*) (cd "$ROOT" && rustup run "$NIGHTLY" cargo "$@") ;;
    *) debian_rust /usr/bin/cargo "$@" ;;
  esac
}

# --- the wasm builds ------------------------------------------------------------------------
# What distinguishes the builds that the page chooses from: target features, cargo features, and what
# wasm-opt has to be told. Kept here because `build` and `test` both walk it.
#
# `threads` and `gpu` also run on one thread, where their memory is shared with nobody, which needs no
# isolated page. `simd128` is for browsers that give a page no such memory. `gpu` has no relaxed SIMD, so
# that every browser with WebGPU takes it: the GPU does the work there.

wasm_builds=(threads threads-simd128 gpu simd128)

# Whether a build's linear memory can be shared between threads.
wasm_is_shared() { [ "$1" != simd128 ]; }

# Whether a build has relaxed SIMD.
wasm_is_relaxed() { [ "$1" = threads ]; }

wasm_cargo_features() {
  case $1 in
    threads | threads-simd128) say threads ;;
    gpu) say threads,gpu ;;
    *) say "" ;;
  esac
}
# Without relaxed SIMD, which is the library's alone: find_wasm_profile.
wasm_rustflags() {
  local features=+bulk-memory,+mutable-globals,+simd128 flags="-C link-arg=--max-memory=4294967296" symbol
  if wasm_is_shared "$1"; then
    features+=,+atomics
    # Linear memory is made by JavaScript and imported; the exports let each thread set up its own stack
    # and thread-local storage.
    flags+=" -C link-arg=--shared-memory -C link-arg=--import-memory"
    for symbol in __wasm_init_tls __tls_size __tls_align __tls_base; do flags+=" -C link-arg=--export=$symbol"; done
  fi
  say "-C target-feature=$features $flags --cfg getrandom_backend=\"wasm_js\""
}
# Sets WASM_PROFILE, cargo's arguments that compile the library alone with relaxed SIMD where a build has it.
find_wasm_profile() {
  WASM_PROFILE=()
  if wasm_is_relaxed "$1"; then
    WASM_PROFILE=(-Zprofile-rustflags --config 'profile.release.package.loraloom.rustflags=["-Ctarget-feature=+relaxed-simd"]')
  fi
}

# Builds the standard library too: with atomics, and with its small sorts, as each type that is sorted adds some 10 kB
# of the fast one.
wasm_std=(-Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size)

wasm_opt_flags() {
  local flags="--enable-bulk-memory --enable-mutable-globals --enable-simd --enable-sign-ext --enable-nontrapping-float-to-int --enable-reference-types --enable-multivalue"
  if wasm_is_shared "$1"; then flags+=" --enable-threads"; fi
  if wasm_is_relaxed "$1"; then flags+=" --enable-relaxed-simd"; fi
  say "$flags"
}

# Builds with the same flags share a target folder, and with it the standard library. The one with relaxed SIMD has
# its own, so that two groups of builds that take the same time can run at once.
wasm_target_dir() {
  if wasm_is_relaxed "$1"; then say "$CARGO_TARGET_DIR/wasm-relaxed"
  elif wasm_is_shared "$1"; then say "$CARGO_TARGET_DIR/wasm"
  else say "$CARGO_TARGET_DIR/wasm-single"; fi
}

# pkg-scripts/bindgen, compiled: each version in a folder of its own.
bindgen_path() { say "$CACHE/tools/bindgen-$(hash_of pkg-scripts/bindgen | cut -c1-16)/release/loraloom-bindgen"; }

# --- checks of dependencies -----------------------------------------------------------------

cargo_deny_folder() { say "$CACHE/tools/cargo-deny-$(hash_of pkg-scripts/cargo-deny.txt | cut -c1-16)"; }

# Sets CARGO_DENY to cargo-deny: the one of setup, or one on the PATH.
find_cargo_deny() { find_program CARGO_DENY "$(cargo_deny_folder)/cargo-deny" cargo-deny; }

# --- browsers -------------------------------------------------------------------------------

# find_program VARIABLE NAME...: sets and exports the variable to the first program that is there, its own value
# before the names.
find_program() {
  local variable=$1 candidate
  shift
  for candidate in "${!variable:-}" "$@"; do
    if [ -n "$candidate" ] && have "$candidate"; then
      export "$variable=$(command -v "$candidate")"
      return 0
    fi
  done
  return 1
}

# Sets CHROMIUM to the browser that the tests and the benchmark drive.
find_chromium() {
  find_program CHROMIUM chromium chromium-browser google-chrome-stable google-chrome \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
}

# Sets FIREFOX to the Firefox that the tests drive.
find_firefox() { find_program FIREFOX firefox-esr firefox; }

# Whether WebKitGTK's driver is there, and a display for its browser.
has_webkit() { have WebKitWebDriver && have Xvfb; }

# --- web servers ----------------------------------------------------------------------------

# Whether the servers are there that the ready files of docs/hosting are for. nginx may be outside of a user's PATH.
has_web_servers() { PATH=$PATH:/usr/sbin have nginx && have caddy; }

# --- up-to-date checks -------------------------------------------------------------

# hash_of PATH...: one hash over the contents and names of files and folders.
hash_of() {
  (cd "$ROOT" && find "$@" -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/wasm/*' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
}

# up_to_date STAMP HASH / mark_done STAMP HASH: a stamp file holds the hash of what a step used.
up_to_date() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }
mark_done() { mkdir -p "$(dirname "$1")" && printf '%s\n' "$2" >"$1"; }
