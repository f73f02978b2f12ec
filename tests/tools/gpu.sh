#!/usr/bin/env bash
# Run all GPU benchmarks and tests in at most ten minutes: `OUT=folder bash tests/tools/gpu.sh [BENCHMARK FLAGS]`, for
# example `--backend eager`. Needs no network and no face models; the weights are stand-ins. A failed step does not stop
# the next one, but makes the exit code 1.
set -uo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${OUT:-$PWD}
export PYTHONUNBUFFERED=1 PUPPET_CACHE=$work/cache
export TORCHINDUCTOR_CACHE_DIR=$work/inductor TRITON_CACHE_DIR=$work/triton
failed=0

# step NAME SECONDS COMMAND: run COMMAND, interrupt it after SECONDS, and copy its output to NAME.log.
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
benchmark warm_start 80 --frames 1 "$@" # the first picture with the compilers' caches filled
mapfile -t tests < <(grep -rl "mark\.gpu" tests --include="test_*.py") # other test files may need packages that are missing
step tests 140 python3 -m pytest -m gpu -q -p no:cacheprovider "${tests[@]}"
exit "$failed"
