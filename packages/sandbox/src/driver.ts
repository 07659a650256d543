import type { CreateSandbox, Sandbox } from "@valet/shared/protocol/sandbox-broker";
import type { Steps } from "./request-trace.ts";

export interface CreateOptions extends CreateSandbox {
  /** Stands for what must be the same when the same sandbox is asked for again; kept with the sandbox. */
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
  /** How many files it does not hold. */
  readonly leftOut?: number;
}

/**
 * An engine that runs sandboxes. It sees to single sandboxes; generations, idempotence and everything HTTP are seen to
 * above it. Steps that take time are spans of their own, made with `steps`; work is given up when its `limit` is aborted, and ends
 * with that signal's reason. Every method but `close` may be called at any
 * time, also for a sandbox that another call is at work on, and throws {@link BrokerError} for what the caller should know.
 */
export interface Driver {
  readonly name: Sandbox["driver"];
  /** Makes a sandbox and starts its entrypoint. On an error nothing of it is left. */
  create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox>;
  /** The sandbox, unless it is gone. */
  get(id: string): Promise<DriverSandbox | undefined>;
  /** All sandboxes of a session, those being created or terminated included. */
  list(sessionId: string): Promise<DriverSandbox[]>;
  /** @throws BrokerError `sandbox_gone` */
  snapshot(id: string, steps: Steps, limit: AbortSignal): Promise<SnapshotResult>;
  /** Ends a sandbox, also one that is being created or snapshotted. Resolves once nothing of it is left; `false`: there was nothing. */
  terminate(id: string, steps: Steps): Promise<boolean>;
  /** `false`: there was none. */
  deleteSnapshot(id: string, steps: Steps): Promise<boolean>;
  /** Stops what this process keeps running. Calls under way end with `shutting_down`. */
  close(): Promise<void>;
}
