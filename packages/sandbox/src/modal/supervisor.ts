/** What runs first in a sandbox of the `modal` driver: it starts the entrypoint, and again whenever that has died. */

import { LIMITS } from "@valet/shared/limits";
import { FINAL_EXIT_CODES } from "@valet/shared/protocol/sandbox-broker";
import type { RestartPolicy } from "../restart.ts";

/**
 * It runs in the sandbox, so that entrypoints are restarted while no broker is there. The token stays in the shell's memory:
 * what it is printed with is a builtin, which has neither arguments nor an environment that others could read. What a dead
 * entrypoint left running is found by its sandbox' id, which every process inherits.
 */
const SCRIPT = `
limit=$1 delay_ms=$2 max_delay_ms=$3 stable_s=$4 patience_s=$5 final=$6
shift 6
read -r -t "$patience_s" id token || exit 78
exec </dev/null
clear_away() {
  local each
  for each in $(grep -lzsxF "VALET_SANDBOX_ID=$id" /proc/[0-9]*/environ); do
    each=\${each#/proc/}
    kill -KILL "\${each%/environ}" 2>/dev/null
  done
}
child=
trap '[ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"; clear_away; exit 143' TERM
restarts=0 deaths=0 next_ms=$delay_ms
while :; do
  started=$SECONDS
  VALET_SANDBOX_ID=$id setsid "$@" < <(printf '{"token":%s,"restartCount":%d}\\n' "$token" "$restarts") &
  child=$!
  wait "$child"
  code=$?
  child=
  clear_away
  [ $((SECONDS - started)) -ge "$stable_s" ] && deaths=0 next_ms=$delay_ms
  case $final in *" $code "*) exit "$code" ;; esac
  [ "$deaths" -ge "$limit" ] && exit "$code"
  sleep "$((next_ms / 1000)).$(printf %03d $((next_ms % 1000)))" & wait $!
  next_ms=$((next_ms * 2 > max_delay_ms ? max_delay_ms : next_ms * 2))
  deaths=$((deaths + 1)) restarts=$((restarts + 1))
done
`;

/** How long the first line may take to come. After that the broker that made the sandbox is gone: it has less time for it all. */
const PATIENCE_S = Math.ceil((1.5 * LIMITS.brokerCallMs) / 1000);

/** The sandbox' command; it needs bash, grep and setsid. The sandbox ends with it, when the entrypoint is not started again. */
export function supervisorCommand(entrypoint: readonly string[], restart: RestartPolicy): string[] {
  const { limit, delayMs, maxDelayMs, stableMs } = restart;
  const numbers = [limit, delayMs, maxDelayMs, Math.ceil(stableMs / 1000), PATIENCE_S].map(String);
  return ["bash", "-c", SCRIPT, "valet-supervisor", ...numbers, ` ${FINAL_EXIT_CODES.join(" ")} `, ...entrypoint];
}

/** The one line that it reads, after which it starts the entrypoint. */
export function supervisorInput(sandboxId: string, runnerToken: string): string {
  return `${sandboxId} ${JSON.stringify(runnerToken)}\n`;
}
