/**
 * The first process in the containers of the drivers `modal` and `docker`: starts the entrypoint, and restarts it whenever it
 * dies.
 */

import { LIMIT_ERRORS } from "@valet/shared/limit-errors";
import { LIMITS } from "@valet/shared/limits";
import { FINAL_EXIT_CODES } from "@valet/shared/protocol/sandbox-broker";
import type { RestartPolicy } from "../restart.ts";

/** How many processes and threads at least may be missing from a full container: those that the entrypoint had itself. */
const FEW_TASKS = 32;
/** An entrypoint that lived for less than this may not have recorded what ended the one before it, in s. */
const START_S = 2;

/**
 * The script runs in the sandbox, so that the entrypoint is restarted without a broker. The token stays in the shell's
 * memory: printf is a builtin, so no other process sees the token in arguments or environment. Processes that a dead
 * entrypoint left running are found by the sandbox id that they inherited; or, where the supervisor is root and nothing else is in
 * its container, all are ended by one call, which needs no further process, and which no process can outrun.
 *
 * The entrypoint shares the container's limits with the agent. A killed one is out of memory if, while it ran, the kernel killed a
 * process for that, and the container was at its own limit: the kernel counts a kill for lack of the machine's memory as well. Version 1
 * of control groups does not count how often that was (Linux 6.18 leaves `memory.failcnt` at 0), but tells the most that the container
 * ever used. An entrypoint that died by itself lacked a process or thread if one was refused while it ran, and if the container is still
 * full of them, or would be with those of the entrypoint. What the container says of that is read before anything else, by builtins only:
 * nothing can be forked there.
 */
const SCRIPT = `
limit=$1 delay_ms=$2 max_delay_ms=$3 stable_s=$4 input_timeout_s=$5 final=$6 alone=$7 out_of_memory=$8
shift 8
word=
until [ "$word" = start ]; do read -r -t "$input_timeout_s" word id token || exit 78; done
exec </dev/null
end_orphans() {
  local each
  [ "$alone" = 1 ] && { kill -KILL -1 2>/dev/null; return; }
  for each in $(grep -lzsxF "VALET_SANDBOX_ID=$id" /proc/[0-9]*/environ); do
    each=\${each#/proc/}
    kill -KILL "\${each%/environ}" 2>/dev/null
  done
}
count_hits() {
  local key value file
  for file in memory.events memory/memory.oom_control; do
    while read -r key value; do
      case $key in oom_kill) kills=$value ;; oom) ooms=$value ;; esac
    done <"/sys/fs/cgroup/$file"
  done
  for file in pids.events pids/pids.events; do
    while read -r key value; do [ "$key" = max ] && refusals=$value; done <"/sys/fs/cgroup/$file"
  done
}
was_at_limit() {
  local each peak limit
  [ "$ooms" -gt "$ooms_before" ] && return
  for each in memory memory.memsw; do
    each=/sys/fs/cgroup/memory/$each
    read -r peak <"$each.max_usage_in_bytes" && read -r limit <"$each.limit_in_bytes" || continue
    [ "$peak" -ge $((limit - limit / 64)) ] && return
  done
  return 1
}
is_crowded() {
  local folder current max spare
  for folder in /sys/fs/cgroup /sys/fs/cgroup/pids; do
    read -r current <"$folder/pids.current" && read -r max <"$folder/pids.max" && [ "$max" != max ] || continue
    spare=$((max / 20 > ${FEW_TASKS} ? max / 20 : ${FEW_TASKS}))
    [ $((current + spare)) -ge "$max" ] && return
  done
  return 1
}
input() {
  printf '{"token":%s,"restartCount":%d' "$token" "$restarts"
  [ -n "$cause" ] && printf ',"restartCause":"%s"' "$cause"
  printf '}\\n'
}
child= kills=0 ooms=0 refusals=0 cause=
trap '[ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"; end_orphans; exit 143' TERM
restarts=0 deaths=0 next_ms=$delay_ms
while :; do
  started=$SECONDS
  count_hits 2>/dev/null
  kills_before=$kills ooms_before=$ooms refusals_before=$refusals
  VALET_SANDBOX_ID=$id setsid "$@" < <(input) &
  child=$!
  wait "$child"
  code=$?
  child= found=
  count_hits 2>/dev/null
  case " 137 143$final" in
    *" $code "*) ;;
    *) [ "$refusals" -gt "$refusals_before" ] && is_crowded 2>/dev/null && found=${LIMIT_ERRORS.processes} ;;
  esac
  [ "$code" = 137 ] && [ "$kills" -gt "$kills_before" ] && was_at_limit 2>/dev/null &&
    code=$out_of_memory found=${LIMIT_ERRORS.memory}
  [ -z "$found" ] && [ -n "$cause" ] && [ $((SECONDS - started)) -lt ${START_S} ] || cause=$found
  end_orphans
  [ $((SECONDS - started)) -ge "$stable_s" ] && deaths=0 next_ms=$delay_ms
  case $final in *" $code "*) exit "$code" ;; esac
  [ "$deaths" -ge "$limit" ] && exit "$code"
  sleep "$((next_ms / 1000)).$(printf %03d $((next_ms % 1000)))" & wait $!
  next_ms=$((next_ms * 2 > max_delay_ms ? max_delay_ms : next_ms * 2))
  deaths=$((deaths + 1)) restarts=$((restarts + 1))
done
`;

/**
 * The exit code of a sandbox whose entrypoint the kernel has killed for lack of memory: of the container's own control group, since not
 * every engine tells it.
 */
export const OUT_OF_MEMORY_CODE = 76;

/** How long the first line may take to arrive. After that, the broker that is creating the sandbox has given up. */
const INPUT_TIMEOUT_S = Math.ceil((1.5 * LIMITS.brokerCallMs) / 1000);

/**
 * Returns the sandbox's command, which needs bash, grep and setsid. The sandbox ends with this command, once the
 * entrypoint is not restarted any more.
 * @param isAlone whether it runs as root in a container that has nothing but it, the first process and what it starts
 */
export function supervisorCommand(entrypoint: readonly string[], restart: RestartPolicy, isAlone: boolean): string[] {
  const { limit, delayMs, maxDelayMs, stableMs } = restart;
  const numbers = [limit, delayMs, maxDelayMs, Math.ceil(stableMs / 1000), INPUT_TIMEOUT_S].map(String);
  const words = [...numbers, ` ${FINAL_EXIT_CODES.join(" ")} `, isAlone ? "1" : "0", String(OUT_OF_MEMORY_CODE)];
  return ["bash", "-c", SCRIPT, "valet-supervisor", ...words, ...entrypoint];
}

/**
 * Returns the line that the command reads before it starts the entrypoint. A line break comes first: Podman passes the body of the
 * request that attaches to standard input to the process, too, and the command ignores lines of any other kind.
 */
export function supervisorInput(sandboxId: string, runnerToken: string): string {
  return `\nstart ${sandboxId} ${JSON.stringify(runnerToken)}\n`;
}
