/**
 * The HTTP contract between the Worker and the sandbox broker.
 *
 * | call | answer |
 * | --- | --- |
 * | `GET /v1/health`, the only one without a token | 200 {@link BrokerHealth} |
 * | `POST /v1/sandboxes` {@link CreateSandbox} | 201 {@link SandboxAnswer} |
 * | `GET /v1/sandboxes/:id` | 200 {@link SandboxAnswer} |
 * | `GET /v1/sandboxes?sessionId=` | 200 {@link SandboxList} |
 * | `POST /v1/sandboxes/:id/snapshot` | 201 {@link SnapshotAnswer}; 409 when the sandbox is gone |
 * | `POST /v1/repositories/check` {@link CheckRepository} | 200 {@link RepositoryAnswer}; 404 where sandboxes run on another machine |
 * | `DELETE /v1/sandboxes/:id` {@link DeleteSandbox}, `DELETE /v1/snapshots/:id` | 200 {@link DeleteAnswer}, also when there was nothing left |
 *
 * Every other answer is a {@link BrokerProblem}. Requests carry the shared secret as a bearer token, `traceparent` and
 * `tracestate`, the session in {@link SESSION_HEADER} and the timeout in {@link LIMIT_HEADER}. The broker refuses unknown fields; a
 * caller ignores them.
 */
import { z } from "zod";
import { Problem, type ProblemDetails, problemsOf } from "../http/problem.ts";
import { LIMIT_ERRORS } from "../limit-errors.ts";
import { SANDBOX_DRIVERS } from "../spans.ts";
import { isGitRef } from "./git-ref.ts";
import { repoUrlProblem } from "./repo-url.ts";
import { ShownLimits } from "./sandbox-limits.ts";
import { NETWORKS } from "./sandbox-network.ts";

/**
 * The header with the session of a request, for the broker's spans: the ids of sandboxes and snapshots do not name it.
 * `POST /v1/sandboxes` has it in its body.
 */
export const SESSION_HEADER = "valet-session-id";

/** The header with the broker's timeout for a request, in ms: shorter than the caller's. Without it there is no timeout. */
export const LIMIT_HEADER = "valet-limit-ms";

/** The largest body of a request. */
export const MAX_BROKER_REQUEST_BYTES = 256 * 1024;

/** The largest environment: the bytes of all names and values. */
const MAX_ENV_BYTES = 128 * 1024;
const MAX_ENV_ENTRIES = 256;

export const SessionId = z.string().regex(/^[\w.:-]{1,128}$/, "1 to 128 letters, digits, `_`, `.`, `:` or `-`");
/** An id of a sandbox or a snapshot, which the broker generates. */
export const BrokerId = z.string().regex(/^[\w-]{1,64}$/, "1 to 64 letters, digits, `_` or `-`");
export const Generation = z.int().positive();

const EnvName = z
  .string()
  .regex(/^[A-Za-z_]\w{0,127}$/, "not a valid name of an environment variable")
  // The agent can read its environment, and with endpoint and key it could write anything into the telemetry.
  .refine((name) => !name.startsWith("OTEL_EXPORTER_"), "no telemetry backend and no key of one may enter a sandbox");
const EnvValue = z
  .string()
  .max(32 * 1024)
  .refine((value) => !value.includes("\0"), "contains a NUL character");

/** The environment of the entrypoint. Variables that the driver itself sets take precedence. */
export const SandboxEnv = z
  .record(EnvName, EnvValue)
  .refine((env) => Object.keys(env).length <= MAX_ENV_ENTRIES, `more than ${MAX_ENV_ENTRIES} variables`)
  .refine((env) => byteLength(Object.entries(env).flat()) <= MAX_ENV_BYTES, `more than ${MAX_ENV_BYTES} bytes`);

/**
 * Requests the sandbox of this generation of a session; with `snapshotId`, the broker restores it. Idempotent: the same request
 * returns the same sandbox, in whatever state, until that is terminated; a different `env` is ignored. The broker first
 * terminates a sandbox of an older generation, even one with unsaved files, and refuses a generation that is older than the
 * newest.
 */
export const CreateSandbox = z.strictObject({
  sessionId: SessionId,
  generation: Generation,
  env: SandboxEnv,
  /** Reaches the entrypoint as {@link EntrypointInput}, and never an environment, a disk or a span. */
  runnerToken: z.string().regex(/^[\x21-\x7e]{1,512}$/, "1 to 512 printable ASCII characters without spaces"),
  snapshotId: BrokerId.optional(),
});
export type CreateSandbox = z.infer<typeof CreateSandbox>;

/**
 * `starting`: the broker is creating the files. `running`: the entrypoint runs, or is about to be restarted. `stopped`: the
 * entrypoint will not run again, and a snapshot of the files can be taken. `terminating`: processes and files are being removed.
 */
export const SandboxState = z.enum(["starting", "running", "stopped", "terminating"]);
export type SandboxState = z.infer<typeof SandboxState>;

/**
 * Exit codes of an entrypoint after which the broker does not restart it: it was asked to stop (0), the session refused it
 * (`EX_NOPERM` of sysexits.h), or its configuration is invalid (`EX_CONFIG`).
 */
export const FINAL_EXIT_CODES: readonly number[] = [0, 77, 78];

/**
 * Why a sandbox stopped: its entrypoint ended for good; it died too often; the sandbox, entrypoint included, was out of memory; the
 * broker was shut down; the broker died.
 */
export const StopReason = z.enum([
  "entrypoint_ended",
  "entrypoint_failed",
  "out_of_memory",
  "broker_stopped",
  "broker_lost",
]);
export type StopReason = z.infer<typeof StopReason>;

/** What separates a sandbox of the driver `local` from the machine: a wall of bubblewrap, or nothing. */
export const ISOLATIONS = ["bwrap", "none"] as const;
export type Isolation = (typeof ISOLATIONS)[number];

/** What separates sandboxes from the machine; containers with the driver `docker`. */
export const WALLS = [...ISOLATIONS, "container"] as const;
export type Walls = (typeof WALLS)[number];

/**
 * What separates the agent from its runner: a wall of bubblewrap, which also separates both from the machine; another user in the
 * same container; or nothing.
 */
export const RUNNER_ISOLATIONS = [...ISOLATIONS, "user"] as const;
export type RunnerIsolation = (typeof RUNNER_ISOLATIONS)[number];

export const Sandbox = z.object({
  id: BrokerId,
  sessionId: SessionId,
  generation: Generation,
  state: SandboxState,
  driver: z.enum(SANDBOX_DRIVERS),
  /** What separates the agent in it from its runner; absent from brokers that do not know it, and where a newer one names another. */
  isolation: z.enum(RUNNER_ISOLATIONS).optional().catch(undefined),
  createdAt: z.iso.datetime(),
  /** The snapshot from which it was restored. */
  snapshotId: BrokerId.optional(),
  /** How often its entrypoint has died and was restarted. */
  restartCount: z.int().nonnegative(),
  /** Present in the state `stopped`. */
  stopReason: StopReason.optional(),
  /**
   * Present in the state `stopped`: the last line of the entrypoint's log, truncated, and without the secrets that the broker
   * knows.
   */
  lastLogLine: z.string().max(1000).optional(),
});
export type Sandbox = z.infer<typeof Sandbox>;

/**
 * The broker's ended spans of this request: an `ExportTraceServiceRequest` as OTLP/JSON text, in answers and in problems. Absent if
 * the request had no valid `traceparent`. Not sampled if the caller's span is not.
 */
const spans = {
  spans: z
    .string()
    .max(1024 * 1024)
    .optional(),
};

export const SandboxAnswer = z.object({ sandbox: Sandbox, ...spans });
export type SandboxAnswer = z.infer<typeof SandboxAnswer>;

export const SandboxList = z.object({ sandboxes: z.array(Sandbox), ...spans });
export type SandboxList = z.infer<typeof SandboxList>;

export const SnapshotAnswer = z.object({
  snapshotId: BrokerId,
  /** The size of its files, if the driver knows it. */
  sizeBytes: z.int().nonnegative().optional(),
  /** How many files it lacks, if the driver knows that: sockets, devices, other users' files. */
  leftOut: z.int().nonnegative().optional(),
  ...spans,
});
export type SnapshotAnswer = z.infer<typeof SnapshotAnswer>;

/** Asks whether sandboxes on the broker's machine could clone a repository there. Whether sessions may is the caller's decision. */
export const CheckRepository = z.strictObject({
  url: z
    .string()
    .max(2000)
    .refine((text) => repoUrlProblem(text) === undefined && URL.parse(text)?.protocol === "file:", "not a `file:` URL"),
  /** A branch or a tag. */
  branch: z.string().max(255).refine(isGitRef, "not a valid git ref").optional(),
});
export type CheckRepository = z.infer<typeof CheckRepository>;

/** `not_found`: no git repository is there. `no_ref`: it has no such branch or tag. `unknown`: git was slow, or failed otherwise. */
export const RepositoryState = z.enum(["ok", "not_found", "no_ref", "unknown"]);
export type RepositoryState = z.infer<typeof RepositoryState>;

/** A state that a newer broker knows counts as `unknown`. */
export const RepositoryAnswer = z.object({ state: RepositoryState.catch("unknown"), ...spans });
export type RepositoryAnswer = z.infer<typeof RepositoryAnswer>;

/**
 * The query of `DELETE /v1/sandboxes/:id`. If `keeps` is the id of a snapshot, the broker deletes the sandbox's other snapshots, too. If
 * `keeps` is empty, it deletes all of them. It does so even if the sandbox no longer exists. A caller that never received the answer to a
 * snapshot does not know that snapshot's id, so it could not delete it in another way.
 */
export const DeleteSandbox = z.strictObject({ keeps: z.union([BrokerId, z.literal("")]).optional() });
export type DeleteSandbox = z.infer<typeof DeleteSandbox>;

/** `alreadyGone`: there was nothing to delete. */
export const DeleteAnswer = z.object({ alreadyGone: z.boolean(), ...spans });
export type DeleteAnswer = z.infer<typeof DeleteAnswer>;

/** The broker's own state; the fields after `driver` are absent from brokers that do not know them. */
export const BrokerHealth = z.object({
  status: z.literal("ok"),
  driver: z.enum(SANDBOX_DRIVERS),
  /** Sandboxes that run on the broker's machine, those that start or end included; absent with the driver `modal`. */
  awake: z.int().nonnegative().optional(),
  /** What separates sandboxes from the broker's machine; absent with the driver `modal`, whose sandboxes are elsewhere. */
  isolation: z.enum(WALLS).optional(),
  /** Which network sandboxes have: one of their own, or that of the broker's machine; absent where they run elsewhere. */
  network: z.enum(NETWORKS).optional(),
  /** The limits of each sandbox, and by what they hold; absent with the driver `modal`. */
  limits: ShownLimits.optional(),
  /** The broker starts no further sandboxes (SIGUSR2), and those that run go on. */
  isDraining: z.boolean().optional(),
});
export type BrokerHealth = z.infer<typeof BrokerHealth>;

const BROKER_PROBLEMS = {
  /** Malformed JSON, an unknown field, a bad value; `errors` says where. */
  invalid_request: [400, "The request is invalid"],
  /** The bearer token is missing, or is not the shared secret. */
  unauthorized: [401, "The bearer token is missing or wrong"],
  /** The route, the sandbox, or the snapshot to restore does not exist. */
  not_found: [404, "Not found"],
  /** The sandbox does not exist, or ended during the call. */
  sandbox_gone: [409, "The sandbox is gone"],
  /** A sandbox of a newer generation exists. */
  stale_generation: [409, "The session has a newer sandbox"],
  /** This generation's sandbox exists and was created with another token or snapshot. */
  generation_conflict: [409, "This generation exists with other arguments"],
  /** The body is over {@link MAX_BROKER_REQUEST_BYTES}. */
  payload_too_large: [413, "The request is too large"],
  /** The files could not be put in place or the entrypoint could not be started. */
  start_failed: [500, "The sandbox could not be started"],
  /** The files could not be copied. */
  snapshot_failed: [500, "The snapshot could not be taken"],
  /** Processes did not exit, or files could not be removed. The call can be retried. */
  terminate_failed: [500, "The sandbox could not be removed"],
  /** An unexpected error of the broker. */
  internal: [500, "The broker failed"],
  /** The broker's limit of sandboxes is reached. The call can be retried when one has ended. */
  capacity: [503, "The broker's limit of sandboxes is reached"],
  /** The broker is being shut down. */
  shutting_down: [503, "The broker is shutting down"],
  /** The work took longer than the caller allows, and was cancelled. */
  limit_exceeded: [504, "The work took longer than the caller allows"],
} as const;
export type BrokerProblemCode = keyof typeof BROKER_PROBLEMS;

/** An error response, `application/problem+json`. It never quotes a token, a variable's value or a file. */
export const BrokerProblem = Problem.extend({
  /** The end of `type`. A code of a newer broker counts as `internal`. */
  code: z.enum(Object.keys(BROKER_PROBLEMS) as BrokerProblemCode[]).catch("internal"),
  ...spans,
});
export type BrokerProblem = z.infer<typeof BrokerProblem>;

const makeProblem = problemsOf("urn:valet:broker:", BROKER_PROBLEMS);
export function brokerProblem(code: BrokerProblemCode, more?: ProblemDetails): BrokerProblem {
  return { ...makeProblem(code, more), code };
}

/**
 * The longest input of an entrypoint, in bytes. The variables and the token of a request are no longer in it than in the request, and
 * what the broker adds is short.
 */
export const MAX_ENTRYPOINT_INPUT_BYTES = MAX_BROKER_REQUEST_BYTES + 64 * 1024;

/** The line of JSON that the entrypoint reads from its standard input, which ends after it. */
export const EntrypointInput = z.object({
  token: z.string().min(1),
  /** How often an entrypoint of this sandbox has died before this one. */
  restartCount: z.int().nonnegative(),
  /**
   * The limit of the sandbox that ended the entrypoint before this one. Absent where none did or nobody knows, from a supervisor that
   * does not look, and where a newer one names another.
   */
  restartCause: z.enum(Object.values(LIMIT_ERRORS)).optional().catch(undefined),
  /** For an entrypoint that was started ahead of its sandbox (`VALET_STARTED_AHEAD`): the variables that it was started without. */
  env: z.record(z.string(), z.string()).optional(),
});
export type EntrypointInput = z.infer<typeof EntrypointInput>;

function byteLength(texts: string[]): number {
  const encoder = new TextEncoder();
  return texts.reduce((sum, text) => sum + encoder.encode(text).length, 0);
}
