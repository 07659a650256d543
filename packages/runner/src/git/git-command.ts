/**
 * Runs git in isolation. Git never prompts, inherits only the variables that it needs, and receives credentials through a pipe.
 * It reads no configuration of the user or the machine. It runs no programs that the repository's own configuration names
 * (hooks, a file system monitor, credential helpers, ssh, editors, pagers), because an agent may have written it.
 */
import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import type { UserInfo } from "@valet/shared/protocol/repo-url";
import type { EndedBy } from "@valet/shared/spans";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { collectEnd, killGroup } from "../processes/child-processes.ts";

/** Why a step had nothing to do. */
export type GitSkipReason = "repository_empty" | "git_unusable";

export type GitErrorType = Exclude<
  EndedBy<"git_clone" | "git_checkout" | "git_submodules" | "git_config">,
  "runner_lost" | GitSkipReason
>;

/** Credentials and the origin that they are for. Git does not send them to another origin, for example after a redirect. */
export interface ScopedCredentials extends UserInfo {
  /** `https://host`, with the port if it is not the default. */
  readonly origin: string;
}

export interface GitOptions {
  readonly cwd: string;
  /** The environment. Git receives only PATH, HOME, and the variables for proxies, certificates and ssh. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What starts git as another user. */
  readonly runAs?: readonly string[] | undefined;
  /** The repository's `.git` folder, so git does not search for one. Absent for a clone. */
  readonly gitDir?: string | undefined;
  /** The transports that git may use. */
  readonly transports: readonly Transport[];
  /** Only for commands that connect to the remote, since all child processes of git inherit the pipe of the credentials. */
  readonly credentials?: ScopedCredentials | undefined;
  readonly signal: AbortSignal;
}

export type Transport = "https" | "ssh" | "file";

interface GitEnd {
  readonly exitCode: number | undefined;
  readonly killedBy: string | undefined;
}

/** Git failed. The error does not contain git's output, which names files and hosts and may quote the arguments. */
export class GitError extends Error {
  override readonly name = "GitError";
  readonly errorType: GitErrorType;
  readonly exitCode: number | undefined;
  /** The signal that killed git. */
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
/** ssh never prompts. It accepts the key of an unknown host, and refuses a changed one. */
const SSH = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=20";
/**
 * Git runs this credential helper to get the user name and the password. It reads them as two lines from file descriptor 3, one
 * pair for each request. The shell reads no more of the pipe than these lines.
 */
const CREDENTIAL_HELPER =
  '!f() { test "$1" != get || { IFS= read -r u <&3 && IFS= read -r p <&3 && printf "%s\\n" "$u" "$p"; }; }; f';
/** The number of pairs in the pipe. A clone requests one for each submodule. */
const MAX_CREDENTIAL_REQUESTS = 500;
/**
 * Overrides the repository's own configuration. Environment variables override ssh, editor and pager. The empty credential
 * helper removes all helpers configured before it.
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
/** How long to wait for the end of git's output after killing git, in ms. */
const HELD_OUTPUT_MS = 500;

/**
 * Runs git until it exits.
 * @param failure the error type if git fails and its output implies no more specific one
 * @returns git's output, at most its last 64 KiB, trimmed
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
  { cwd, runAs = [], credentials, signal }: GitOptions,
  env: Record<string, string>,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  if (signal.aborted) throw new GitError(reasonOf(signal));
  const settings = [...OVERRIDES];
  if (credentials !== undefined) settings.push(`credential.${credentials.origin}.helper=${CREDENTIAL_HELPER}`);
  const [program, ...rest] = [...runAs, "git", ...settings.flatMap((each) => ["-c", each]), ...args];
  const child = spawn(program as string, rest, {
    cwd,
    env,
    // In its own process group, so killing the group also ends git's child processes.
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
    // A process that left git's group may hold git's output open.
    setTimeout(() => ended.resolve(undefined), HELD_OUTPUT_MS);
  };
  signal.addEventListener("abort", end, { once: true });
  const outcome = await ended.promise;
  signal.removeEventListener("abort", end);
  if (outcome?.exitCode === 0) return { stdout: stdout(), stderr: stderr() };
  throw new GitError(signal.aborted ? reasonOf(signal) : (classify(stderr()) ?? failure), outcome);
}

export interface GitBytesOptions extends Omit<GitOptions, "credentials" | "transports"> {
  /** Further variables, which override the others. */
  readonly variables?: Readonly<Record<string, string>>;
  readonly input?: Uint8Array;
  /** Git is killed once it has written more than this. */
  readonly maxBytes: number;
  /** What stands before git on its command line: a wall around it. */
  readonly enclosure?: readonly string[] | undefined;
}

export interface GitBytes {
  /** `undefined` if git was killed or could not be started. */
  readonly exitCode: number | undefined;
  readonly stdout: Buffer;
  /** Whether there was more than `maxBytes`; `stdout` has that many then. */
  readonly isCut: boolean;
}

/**
 * Runs git without the network until it exits, and returns its output as it is, since names of files need not be text.
 * @throws the reason of `signal`
 */
export async function gitBytes(args: readonly string[], options: GitBytesOptions): Promise<GitBytes> {
  const { cwd, signal, maxBytes, input, variables, enclosure = [] } = options;
  signal.throwIfAborted();
  const [program, ...rest] = [...enclosure, "git", ...OVERRIDES.flatMap((each) => ["-c", each]), ...args];
  const child = spawn(program as string, rest, {
    cwd,
    env: { ...environment({ ...options, transports: [] }), ...variables },
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    if (bytes <= maxBytes) chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxBytes) killGroup(child.pid);
  });
  // Git may exit without reading all of it.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const ended = Promise.withResolvers<number | undefined>();
  child.once("error", () => ended.resolve(undefined));
  child.once("close", (code) => ended.resolve(code ?? undefined));
  const kill = () => {
    killGroup(child.pid);
    // A process in an uninterruptible wait may outlive the signal; nobody waits for it.
    ended.resolve(undefined);
  };
  signal.addEventListener("abort", kill, { once: true });
  const exitCode = await ended.promise;
  signal.removeEventListener("abort", kill);
  signal.throwIfAborted();
  return { exitCode, stdout: Buffer.concat(chunks).subarray(0, maxBytes), isCut: bytes > maxBytes };
}

/** Returns the error type that git's English error output implies, if any. Pure. */
export function classify(stderr: string): GitErrorType | undefined {
  // Before the rest: a remote that stops for this reason also hangs up.
  if (
    /(?:object|pack|packed object) .*is corrupt|object file .* is empty|unable to unpack|repository corruption/i.test(
      stderr,
    )
  ) {
    return "git_repository_damaged";
  }
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

/** Error output of git, libcurl (with OpenSSL or GnuTLS) and ssh about a remote that cannot be read. The first match counts. */
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
    // The last four: a redirect to plain HTTP, which is not allowed; a redirect loop; a network that requires a login; a file at the
    // remote, while one in the workspace is no failure of the remote.
    /is this a git repository|unable to update url base from redirection|invalid server response|bad line length|protocol error|expected flush after|Protocol "?\w+"? (?:not supported|disabled)|Maximum \(\d+\) redirects|returned error: 511|(?:invalid gitfile format|too large to be a \.git file|not a git repository)[\s\S]*Could not read from remote/i,
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
    // Not every libcurl reads SSL_CERT_FILE.
    ...withoutUndefined({ GIT_SSL_CAINFO: own.SSL_CERT_FILE }),
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
    // Otherwise a partial clone would fetch missing objects with the programs that its configuration names.
    GIT_NO_LAZY_FETCH: "1",
    // Applies to redirects, too. Other transports run programs or read local files. No transport has the name "none".
    GIT_ALLOW_PROTOCOL: transports.length === 0 ? "none" : transports.join(":"),
    ...(gitDir === undefined
      ? { GIT_CEILING_DIRECTORIES: cwd }
      : // Otherwise a file `commondir` leads to the configuration, refs and objects of any repository of the machine.
        { GIT_DIR: gitDir, GIT_COMMON_DIR: gitDir, GIT_WORK_TREE: cwd }),
  };
}

function giveCredentials(pipe: Writable, { username, password }: UserInfo): void {
  // Git may exit without reading the credentials.
  pipe.on("error", () => {});
  pipe.end(`username=${username}\npassword=${password}\n`.repeat(MAX_CREDENTIAL_REQUESTS));
}

function reasonOf(signal: AbortSignal): GitErrorType {
  return (signal.reason as Error | undefined)?.name === "TimeoutError" ? "git_timeout" : "runner_shutdown";
}
