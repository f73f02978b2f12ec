#!/usr/bin/env bash
# Run all GPU benchmarks and tests in at most ten minutes: `OUT=folder bash tests/gpu.sh [BENCHMARK FLAGS]`, for
# example `--backend eager`. Needs no network and no face models; the weights are stand-ins. A failed step does not stop
# the next one, but makes the exit code 1. Copy device_cuda.json to benchmarks/ for BENCHMARKS.md.
set -uo pipefail
out=$(realpath "${OUT:-.}")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # so that the recorded commands name no folder of this machine
ln -s "$root/run.py" run.py
export PYTHONPATH=$root PYTHONUNBUFFERED=1 PUPPET_CACHE=$work/cache
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
    step "$name" "$limit" python3 run.py benchmark --device cuda --weights weights --json "$name.json" "$@"
    cp "$name.json" "$out/" # what was measured until then, if the step was ended
}

step weights 60 python3 -m tests.support.stand_in_weights weights
benchmark device_cuda 300 "$@"
benchmark warm_start 80 --frames 1 "$@" # the first picture with the compilers' caches filled
cd "$root"
mapfile -t tests < <(grep -rl "mark\.gpu" tests --include="test_*.py") # other test files may need packages that are missing
step tests 140 python3 -m pytest -m gpu -q -p no:cacheprovider "${tests[@]}"
exit "$failed"
