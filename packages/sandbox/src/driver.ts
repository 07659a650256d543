import type {
  CheckRepository,
  CreateSandbox,
  RepositoryState,
  Sandbox,
  Walls,
} from "@valet/shared/protocol/sandbox-broker";
import type { ShownLimits } from "@valet/shared/protocol/sandbox-limits";
import type { Network } from "@valet/shared/protocol/sandbox-network";
import type { Steps } from "./request-trace.ts";

export interface CreateOptions extends CreateSandbox {
  /**
   * Identifies the request that created the sandbox, so that a repeated request is recognized; stored with the sandbox.
   */
  readonly fingerprint: string;
}

/** A sandbox as its driver knows it. */
export interface DriverSandbox {
  readonly sandbox: Sandbox;
  readonly fingerprint: string;
}

export interface SnapshotResult {
  readonly snapshotId: string;
  readonly sizeBytes?: number;
  /** How many files the snapshot lacks. */
  readonly leftOut?: number;
}

/**
 * Runs sandboxes. A driver handles single sandboxes; its caller handles generations, idempotence and HTTP. Slow steps
 * are separate spans, made with `steps`. Work stops when its `limit` is aborted, and throws that signal's reason.
 * Every method but `close` may be called at any time, also for a sandbox that another call is working on, and throws a
 * {@link BrokerError} for everything that the caller should know.
 */
export interface Driver {
  readonly name: Sandbox["driver"];
  /** What separates agents from this machine; absent where sandboxes run elsewhere. */
  readonly isolation?: Walls;
  /** Which network sandboxes have; absent where they run elsewhere. */
  readonly network?: Network;
  /** The limits of each sandbox, and by what they hold; absent where sandboxes run elsewhere. */
  readonly limits?: ShownLimits;
  /** Creates a sandbox and starts its entrypoint. Leaves nothing behind on an error. */
  create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox>;
  /** Returns the sandbox; `undefined` when it is gone. */
  get(id: string): Promise<DriverSandbox | undefined>;
  /** Returns all sandboxes of a session, including those being created or terminated. */
  list(sessionId: string): Promise<DriverSandbox[]>;
  /** @throws BrokerError `sandbox_gone` */
  snapshot(id: string, steps: Steps, limit: AbortSignal): Promise<SnapshotResult>;
  /**
   * Ends a sandbox, also one that is being created or snapshotted. Resolves when nothing is left of it; `false` when
   * there was none.
   */
  terminate(id: string, steps: Steps): Promise<boolean>;
  /** Returns the ids of a sandbox's snapshots, as far as the driver can find them. Called once the sandbox has ended. */
  snapshotsOf(id: string): Promise<readonly string[]>;
  /** Deletes a snapshot; `false` when there was none. */
  deleteSnapshot(id: string, steps: Steps): Promise<boolean>;
  /** Says whether a repository of this machine could be cloned; drivers whose sandboxes run elsewhere have no such method. */
  checkRepository?(request: CheckRepository, limit: AbortSignal): Promise<RepositoryState>;
  /** Returns how many sandboxes run on this machine, those that start or end included; drivers that run none have no such method. */
  countAwake?(): number | Promise<number>;
  /** Stops everything that this process runs. Pending calls fail with `shutting_down`. */
  close(): Promise<void>;
}
