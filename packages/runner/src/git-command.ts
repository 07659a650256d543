/** Runs git by itself: nothing asks, nothing is inherited that it does not need, and a secret goes by a pipe that only it holds. */
import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import type { EndedBy } from "@valet/shared/spans";
import { collectEnd, killGroup } from "./child-processes.ts";

export type GitErrorType = Exclude<
  EndedBy<"git_clone" | "git_checkout" | "git_config">,
  "runner_lost" | "sandbox_gone"
>;

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Credentials and whom they are for: a redirect to anybody else gets none. */
export interface ScopedCredentials extends Credentials {
  /** `https://host`, with its port where it is not the usual one. */
  readonly origin: string;
}

export interface GitOptions {
  readonly cwd: string;
  /** The environment to pick from what git may need to find its way: PATH, HOME, proxies, certificates, ssh's agent. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly allowFile: boolean;
  readonly credentials?: ScopedCredentials | undefined;
  readonly signal: AbortSignal;
}

/** Git did not do what it was asked. Its own words are left out: they name files and hosts, and may quote what they were given. */
export class GitError extends Error {
  override readonly name = "GitError";
  readonly errorType: GitErrorType;
  readonly exitCode: number | undefined;

  constructor(errorType: GitErrorType, exitCode?: number) {
    super(errorType);
    this.errorType = errorType;
    this.exitCode = exitCode;
  }
}

const PASSED_ON =
  /^(?:PATH|HOME|USER|LOGNAME|TMPDIR|VALET_SANDBOX_ID|(?:https?|no|all)_proxy|SSL_CERT_(?:FILE|DIR)|GIT_SSL_CAINFO|GIT_SSL_CAPATH|SSH_AUTH_SOCK|GIT_SSH_COMMAND)$/i;
/** No question on a terminal that nobody sees; an unknown host is taken as it is the first time, and never changed. */
const SSH = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=20";
/**
 * Git runs this to learn user and password: what comes first on file descriptor 3, which it hands down to it. The empty one
 * before it takes those away that the machine's own configuration names.
 */
const CREDENTIAL_HELPER = '!f() { test "$1" != get || cat <&3; }; f';
const MAX_OUTPUT = 64 * 1024;

/**
 * Runs git to its end.
 * @param failure what it means when it fails and its words say nothing more exact
 * @returns its output, at most 64 KiB, without white space at the ends
 * @throws GitError
 */
export async function git(args: readonly string[], failure: GitErrorType, options: GitOptions): Promise<string> {
  const { cwd, credentials, signal } = options;
  if (signal.aborted) throw new GitError(reasonOf(signal));
  const helper =
    credentials === undefined ? [] : ["-c", `credential.${credentials.origin}.helper=${CREDENTIAL_HELPER}`];
  const child = spawn("git", ["-c", "credential.helper=", ...helper, ...args], {
    cwd,
    env: environment(options),
    // Its helpers end with it, not one by one.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", credentials === undefined ? "ignore" : "pipe"],
  });
  const stdout = collectEnd([child.stdout], MAX_OUTPUT);
  const stderr = collectEnd([child.stderr], MAX_OUTPUT);
  if (credentials !== undefined) giveCredentials(child.stdio[3] as Writable, credentials);
  const end = () => killGroup(child.pid);
  signal.addEventListener("abort", end, { once: true });
  const code = await new Promise<number | undefined>((resolve) => {
    child.once("error", () => resolve(undefined));
    child.once("close", (exitCode) => resolve(exitCode ?? undefined));
  });
  signal.removeEventListener("abort", end);
  if (code === 0) return stdout().trim();
  throw new GitError(signal.aborted ? reasonOf(signal) : (classify(stderr()) ?? failure), code);
}

/** What git's words, in English, say about why it failed, where they say it. Pure. */
export function classify(stderr: string): GitErrorType | undefined {
  if (
    /Authentication failed|could not read (?:Username|Password)|terminal prompts disabled|Permission denied \(|Host key verification failed|returned error: 40[13]|Access denied/i.test(
      stderr,
    )
  ) {
    return "git_auth_failed";
  }
  if (
    /couldn't find remote ref|Remote branch .* not found|not our ref|unadvertised object|did not match any file|unknown revision|Needed a single revision|not a valid (?:object|ref)/i.test(
      stderr,
    )
  ) {
    return "git_ref_not_found";
  }
  return undefined;
}

function environment({ env, allowFile }: GitOptions): Record<string, string> {
  const own: Record<string, string> = {};
  for (const [key, value] of Object.entries(env)) if (value !== undefined && PASSED_ON.test(key)) own[key] = value;
  return {
    GIT_SSH_COMMAND: SSH,
    ...own,
    LC_ALL: "C",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "",
    SSH_ASKPASS: "",
    // Also for redirects: others run programs or read what is on this machine.
    GIT_ALLOW_PROTOCOL: allowFile ? "https:ssh:file" : "https:ssh",
  };
}

function giveCredentials(pipe: Writable, { username, password }: Credentials): void {
  // Git may end without having asked.
  pipe.on("error", () => {});
  pipe.end(`username=${username}\npassword=${password}\n`);
}

function reasonOf(signal: AbortSignal): GitErrorType {
  return (signal.reason as Error | undefined)?.name === "TimeoutError" ? "git_timeout" : "runner_shutdown";
}
