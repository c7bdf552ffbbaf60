#!/bin/bash
# run.sh [SECONDS [TARGET...]]: runs the fuzz targets (default: all, 600 seconds each), SGC_FUZZ_JOBS at a time
# (default: as many as processors). Inputs that reach new code stay in build/fuzz/corpus, for the next run; those
# that are findings in build/fuzz/findings. To see one again: build/fuzz/autotest/fuzz/fuzz_TARGET FILE
source "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
set -o pipefail
install_packages "${build_packages[@]}" clang python3 zstd
install_packages "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"

seconds=${1:-600}
shift $(($# > 0))
export SGC_SHARED=${SGC_SHARED:-$root/../shared}
export ASAN_OPTIONS=quarantine_size_mb=16 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
fuzz=$root/build/fuzz

build fuzz
rm -rf "$fuzz/seeds" "$fuzz/logs"
/usr/bin/python3 autotest/fuzz/seeds.py "$fuzz"
if [ $# -eq 0 ]; then
    targets=$(cd "$fuzz/autotest/fuzz" && ls -d fuzz_*)
    set -- ${targets//fuzz_/}
fi

# statistic NAME FILE: from what libFuzzer prints at the end
statistic() { sed -n "s/^stat::$1: *//p" "$2"; }

# run TARGET
run() {
    local corpus=$fuzz/corpus/$1 log=$fuzz/logs/$1 result=ok
    mkdir -p "$corpus" "$fuzz/seeds/$1" "$fuzz/findings" "$fuzz/logs"
    "$fuzz/autotest/fuzz/fuzz_$1" -seed="${SGC_FUZZ_SEED:-0}" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=512 \
        -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$fuzz/findings/$1-" \
        "$corpus" "$fuzz/seeds/$1" >"$log" 2>&1 || result=FOUND
    printf '%-16s %9s executions %7s/s  coverage %5s  %s\n' "$1" "$(statistic number_of_executed_units "$log")" \
        "$(statistic average_exec_per_sec "$log")" "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" "$result"
    [ $result = ok ] || { grep -m 1 -A 40 -E 'ERROR|runtime error|not true' "$log"; return 1; }
}

export -f run statistic
export fuzz seconds
printf '%s\n' "$@" | xargs -P "${SGC_FUZZ_JOBS:-$(nproc)}" -I TARGET bash -c 'run TARGET'
