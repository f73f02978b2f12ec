#!/usr/bin/env bash
# All that a machine with a GPU is asked for, in one call of at most ten minutes: `OUT=folder bash tests/gpu.sh`. Words
# after it are the benchmark's, as in `--backend eager`. It needs no network and no face models, and draws the weights
# itself. A step that fails does not stop the next one; the exit code tells.
set -uo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${OUT:-$PWD}
export PYTHONUNBUFFERED=1 PUPPET_CACHE=$work/cache
export TORCHINDUCTOR_CACHE_DIR=$work/inductor TRITON_CACHE_DIR=$work/triton
failed=0

# step NAME SECONDS COMMAND: at most so long, as Ctrl-C would end it; what it says goes to NAME.log, too.
step() {
    local name=$1 limit=$2 start=$SECONDS code
    shift 2
    echo "== $name: $*"
    timeout --signal=INT --kill-after=5 "$limit" "$@" 2>&1 | tee "$out/$name.log"
    code=${PIPESTATUS[0]}
    echo "== $name: exit code $code after $((SECONDS - start)) s"
    [ "$code" = 0 ] || failed=1
}

benchmark() {
    local name=$1 limit=$2
    shift 2
    step "$name" "$limit" python3 run.py benchmark --device cuda --weights "$work/weights" --json "$out/$name.json" "$@"
}

step weights 60 python3 -m tests.support.stand_in_weights "$work/weights"
benchmark benchmark 300 "$@"
benchmark warm_start 80 --frames 1 "$@" # its first picture comes as soon as on every day but the first
mapfile -t tests < <(grep -rl "mark\.gpu" tests --include="test_*.py") # the others need packages that may not be here
step tests 140 python3 -m pytest -m gpu -q -p no:cacheprovider "${tests[@]}"
exit "$failed"
