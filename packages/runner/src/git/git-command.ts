/**
 * Runs git by itself: nothing asks, nothing is inherited that it does not need, and a secret goes by a pipe that only it holds.
 * It reads no configuration of the user or the machine, and what a repository's own configuration names to be executed (hooks,
 * a file system monitor, credential helpers, ssh, editors, pagers) is not: an agent may have written it.
 */
import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import type { UserInfo } from "@valet/shared/protocol/repo-url";
import type { EndedBy } from "@valet/shared/spans";
import { collectEnd, killGroup } from "../processes/child-processes.ts";

/** Why a step had nothing to do. */
export type GitSkipReason = "repository_empty" | "git_unusable";

export type GitErrorType = Exclude<
  EndedBy<"git_clone" | "git_checkout" | "git_submodules" | "git_config">,
  "runner_lost" | "sandbox_gone" | GitSkipReason
>;

/** Credentials and whom they are for: a redirect to anybody else gets none. */
export interface ScopedCredentials extends UserInfo {
  /** `https://host`, with its port where it is not the usual one. */
  readonly origin: string;
}

export interface GitOptions {
  readonly cwd: string;
  /** The environment to pick from what git may need to find its way: PATH, HOME, proxies, certificates, ssh's agent. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The repository's own folder; git looks for none by itself, and so finds no other. Absent for a clone. */
  readonly gitDir?: string | undefined;
  /** Which transports it may use. */
  readonly transports: readonly Transport[];
  /** Only for what speaks to the remote: everything that git starts inherits the pipe that they come by. */
  readonly credentials?: ScopedCredentials | undefined;
  readonly signal: AbortSignal;
}

export type Transport = "https" | "ssh" | "file";

interface GitEnd {
  readonly exitCode: number | undefined;
  readonly killedBy: string | undefined;
}

/** Git did not do what it was asked. Its own words are left out: they name files and hosts, and may quote what they were given. */
export class GitError extends Error {
  override readonly name = "GitError";
  readonly errorType: GitErrorType;
  readonly exitCode: number | undefined;
  /** What killed git, where a signal did. */
  readonly killedBy: string | undefined;

  constructor(errorType: GitErrorType, { exitCode, killedBy }: Partial<GitEnd> = {}) {
    super(errorType);
    this.errorType = errorType;
    this.exitCode = exitCode;
    this.killedBy = killedBy;
  }
}

const PASSED_ON =
  /^(?:PATH|HOME|USER|LOGNAME|TMPDIR|VALET_SANDBOX_ID|(?:https?|no|all)_proxy|SSL_CERT_(?:FILE|DIR)|GIT_SSL_CAINFO|GIT_SSL_CAPATH|SSH_AUTH_SOCK|GIT_SSH_COMMAND)$/i;
/** No question on a terminal that nobody sees; an unknown host is taken as it is the first time, and never changed. */
const SSH = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=20";
/**
 * Git runs this to learn user and password, which come as two lines on file descriptor 3, handed down to it: one pair for each
 * time it asks. The shell reads no more of the pipe than the lines.
 */
const CREDENTIAL_HELPER =
  '!f() { test "$1" != get || { IFS= read -r u <&3 && IFS= read -r p <&3 && printf "%s\\n" "$u" "$p"; }; }; f';
/** A clone of many submodules asks once for each. */
const MAX_CREDENTIAL_REQUESTS = 500;
/**
 * Overrides what a repository's own configuration says; ssh, editor and pager are overridden by the environment. The empty
 * credential helper takes all that are named before it away.
 */
const OVERRIDES = [
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "core.alternateRefsCommand=true",
  "credential.helper=",
  "diff.external=",
  "gc.auto=0",
  "maintenance.auto=false",
  "protocol.ext.allow=never",
  "safe.bareRepository=explicit",
  "submodule.recurse=false",
  "fetch.recurseSubmodules=false",
  "commit.gpgSign=false",
];
const MAX_OUTPUT = 64 * 1024;
/** A line of git's trace of packets, the unit of its protocol: "… packet: git< version 2". */
const PACKET_RECEIVED = / packet: +\S+< /;
/** From killing git to going on without the end of its output. */
const HELD_OUTPUT_MS = 500;

/**
 * Runs git to its end.
 * @param failure what it means when it fails and its words say nothing more exact
 * @returns its output, at most 64 KiB, without white space at the ends
 * @throws GitError
 */
export async function git(args: readonly string[], failure: GitErrorType, options: GitOptions): Promise<string> {
  const { stdout } = await run(args, failure, options, environment(options));
  return stdout.trim();
}

/**
 * Returns whether a server speaks git's own protocol over HTTP. Git takes any other answer for the file `info/refs` of a
 * repository that is served as plain files ("dumb" HTTP), which no setting disables; an answer without a line break, or without
 * anything, then counts as a repository without branches.
 * @throws GitError if git cannot read the answer at all
 */
export async function speaksGit(url: string, options: GitOptions): Promise<boolean> {
  const env = { ...environment(options), GIT_TRACE_PACKET: "1" };
  const { stderr } = await run(["ls-remote", "--quiet", "--", url, "HEAD"], "git_clone_failed", options, env);
  return PACKET_RECEIVED.test(stderr);
}

async function run(
  args: readonly string[],
  failure: GitErrorType,
  { cwd, credentials, signal }: GitOptions,
  env: Record<string, string>,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  if (signal.aborted) throw new GitError(reasonOf(signal));
  const settings = [...OVERRIDES];
  if (credentials !== undefined) settings.push(`credential.${credentials.origin}.helper=${CREDENTIAL_HELPER}`);
  const child = spawn("git", [...settings.flatMap((each) => ["-c", each]), ...args], {
    cwd,
    env,
    // Its helpers end with it, not one by one.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", credentials === undefined ? "ignore" : "pipe"],
  });
  const stdout = collectEnd([child.stdout], MAX_OUTPUT);
  const stderr = collectEnd([child.stderr], MAX_OUTPUT);
  if (credentials !== undefined) giveCredentials(child.stdio[3] as Writable, credentials);
  const ended = Promise.withResolvers<GitEnd | undefined>();
  child.once("error", () => ended.resolve(undefined));
  child.once("close", (code, killedBy) => {
    ended.resolve({ exitCode: code ?? undefined, killedBy: killedBy ?? undefined });
  });
  const end = () => {
    killGroup(child.pid);
    // What left git's process group may hold its output open for ever.
    setTimeout(() => ended.resolve(undefined), HELD_OUTPUT_MS);
  };
  signal.addEventListener("abort", end, { once: true });
  const outcome = await ended.promise;
  signal.removeEventListener("abort", end);
  if (outcome?.exitCode === 0) return { stdout: stdout(), stderr: stderr() };
  throw new GitError(signal.aborted ? reasonOf(signal) : (classify(stderr()) ?? failure), outcome);
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
  return REMOTE_FAILURES.find(([, words]) => words.test(stderr))?.[0];
}

/** What git, libcurl (with OpenSSL or GnuTLS) and ssh say of a remote that cannot be read. The first that fits counts. */
const REMOTE_FAILURES: readonly (readonly [GitErrorType, RegExp])[] = [
  [
    "git_certificate_untrusted",
    /SSL certificate|server (?:certificate )?verification failed|certificate (?:verify failed|signer not trusted|has expired)|no alternative certificate|certificate subject name|issuer certificate/i,
  ],
  [
    "git_host_not_found",
    /Could not resolve (?:host|proxy)|Name or service not known|Temporary failure in name resolution|nodename nor servname/i,
  ],
  ["git_timeout", /Connection timed out|Operation timed out|Timeout was reached/i],
  [
    "git_unreachable",
    /Failed to connect|Couldn't connect|Could not connect|Connection (?:refused|reset|closed)|No route to host|Network is unreachable|Empty reply|wrong version number|unexpected TLS packet|handshake|SSL_ERROR_SYSCALL|remote end hung up unexpectedly|CONNECT tunnel failed|from proxy after CONNECT/i,
  ],
  [
    "git_not_a_repository",
    // The last three: a redirect to plain HTTP, which we do not speak; one that comes back for ever; a network that asks for a login.
    /is this a git repository|unable to update url base from redirection|invalid server response|bad line length|protocol error|expected flush after|Protocol "?\w+"? (?:not supported|disabled)|Maximum \(\d+\) redirects|returned error: 511/i,
  ],
  [
    "git_not_found",
    /repository .*not found|returned error: 4(?:04|10)|does not appear to be a git repository|does not exist/i,
  ],
];

function environment({ env, transports, gitDir, cwd }: GitOptions): Record<string, string> {
  const own: Record<string, string> = {};
  for (const [key, value] of Object.entries(env)) if (value !== undefined && PASSED_ON.test(key)) own[key] = value;
  return {
    GIT_SSH_COMMAND: SSH,
    // Not every libcurl reads it by itself.
    ...(own.SSL_CERT_FILE !== undefined && { GIT_SSL_CAINFO: own.SSL_CERT_FILE }),
    ...own,
    LC_ALL: "C",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "",
    SSH_ASKPASS: "",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_SYSTEM: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_EDITOR: "true",
    GIT_PAGER: "cat",
    // A partial clone would otherwise fetch what is missing, by whatever its configuration names.
    GIT_NO_LAZY_FETCH: "1",
    // Also for redirects: others run programs or read what is on this machine. Of this name there is none.
    GIT_ALLOW_PROTOCOL: transports.length === 0 ? "none" : transports.join(":"),
    ...(gitDir === undefined ? { GIT_CEILING_DIRECTORIES: cwd } : { GIT_DIR: gitDir, GIT_WORK_TREE: cwd }),
  };
}

function giveCredentials(pipe: Writable, { username, password }: UserInfo): void {
  // Git may end without having asked.
  pipe.on("error", () => {});
  pipe.end(`username=${username}\npassword=${password}\n`.repeat(MAX_CREDENTIAL_REQUESTS));
}

function reasonOf(signal: AbortSignal): GitErrorType {
  return (signal.reason as Error | undefined)?.name === "TimeoutError" ? "git_timeout" : "runner_shutdown";
}
