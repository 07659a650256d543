/** Asks git whether sandboxes could clone a repository of this machine, before there is a sandbox. */
import type { CheckRepository, RepositoryState } from "@valet/shared/protocol/sandbox-broker";
import { runTool } from "./tool.ts";

/** How long a check may take, in ms, the wait for its turn included; its caller may set less. */
const LIMIT_MS = 2000;
/** How many run at once. */
const AT_ONCE = 4;
/** More output than the refs of one branch is not read. */
const MAX_OUTPUT_BYTES = 64 * 1024;
/** No configuration of the user or the machine takes effect, as in the runner, and no other transport than files. */
const GIT = [
  ...["GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "git"],
  ...["-c", "protocol.allow=never", "-c", "protocol.file.allow=always", "ls-remote", "--quiet"],
];

export class RepositoryChecks {
  #running = 0;
  readonly #waiting = new Set<() => void>();

  /** Never rejects. Whatever is slow, fails or is not understood is `unknown`. */
  async of({ url, branch }: CheckRepository, limit: AbortSignal): Promise<RepositoryState> {
    const ended = new AbortController();
    const signal = AbortSignal.any([limit, AbortSignal.timeout(LIMIT_MS), ended.signal]);
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    while (this.#running >= AT_ONCE && !signal.aborted) await Promise.race([this.#turn(), aborted]);
    if (signal.aborted) return "unknown";
    const refs = branch === undefined ? ["HEAD"] : [`refs/heads/${branch}`, `refs/tags/${branch}`];
    let output = "";
    let errors = "";
    this.#running++;
    // A process that cannot be killed, as on a network folder that hangs, keeps its place while nobody waits for it.
    const run = runTool("env", [...GIT, "--", new URL(url).href, ...refs], {
      sandboxId: "repository-check",
      signal,
      cwd: "/",
      onOutput: (chunk) => {
        output += chunk.toString();
        if (output.length > MAX_OUTPUT_BYTES) ended.abort();
      },
      onErrorLine: (line) => {
        if (errors.length < MAX_OUTPUT_BYTES) errors += `${line}\n`;
      },
    }).finally(() => this.#release());
    const code = await Promise.race([run.catch(() => undefined), aborted]);
    if (code === 0) return branch === undefined || names(output).some((ref) => refs.includes(ref)) ? "ok" : "no_ref";
    return code === 128 &&
      /does not appear to be a git repository|invalid gitfile format|too large to be a .git file|not a git repository/.test(
        errors,
      )
      ? "not_found"
      : "unknown";
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #release(): void {
    this.#running--;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** Returns the names of the refs that `git ls-remote` lists; its patterns also match the ends of other names. */
function names(output: string): string[] {
  return output.split("\n").map((line) => line.split("\t")[1] ?? "");
}
