/**
 * The sandbox broker, in memory. It follows the contract of packages/shared/src/protocol/sandbox-broker.ts, and every call waits
 * until the course answers it. It does the work when it answers, even if nobody receives the answer.
 */
import type { CreateSandbox } from "@valet/shared/protocol/sandbox-broker";

/** `full`: it refuses another sandbox because it is full, and any other call with an error. */
export type BrokerAnswer = "ok" | "refuse" | "reset" | "full";

export interface StandInSandbox {
  readonly id: string;
  readonly sessionId: string;
  readonly generation: number;
  readonly token: string;
  /** Whether it is running. A stopped sandbox exists, with its files, until it is ended. */
  isAlive: boolean;
}

interface PendingCall {
  readonly method: string;
  readonly path: string;
  readonly body: CreateSandbox | undefined;
  readonly sinceMs: number;
  /** Settles the caller's promise; `undefined` after the object's death. */
  settle: { resolve(response: Response): void; reject(error: Error): void } | undefined;
}

/** The broker's timeout of a call, in ms. */
const CALL_MS = 60_000;

const REFUSALS = {
  list: "internal",
  create: "start_failed",
  snapshot: "snapshot_failed",
  delete: "terminate_failed",
} as const;

export class StandInBroker {
  readonly sandboxes: StandInSandbox[] = [];
  readonly #snapshots = new Set<string>();
  /** The snapshots whose ids the object has received. */
  readonly snapshots = new Set<string>();
  /** The span ids of the callers, from their headers. */
  readonly callers: string[] = [];
  readonly #pending: PendingCall[] = [];
  readonly #onMade: (sandbox: StandInSandbox) => void;
  readonly #onAsked: () => void;
  #made = 0;

  /** @param onAsked called when a sandbox is requested */
  constructor(onMade: (sandbox: StandInSandbox) => void, onAsked: () => void) {
    this.#onMade = onMade;
    this.#onAsked = onAsked;
  }

  get pending(): number {
    return this.#pending.length;
  }

  /** The number of calls whose caller waits. */
  get awaited(): number {
    return this.#pending.filter(({ settle }) => settle !== undefined).length;
  }

  /** Receives a call. @param leaves whether the call arrives */
  readonly fetch = (url: string, init: RequestInit, leaves: () => boolean): Promise<Response> =>
    new Promise((resolve, reject) => {
      init.signal?.addEventListener("abort", () => reject(new Error("aborted")));
      if (!leaves()) return;
      const call: PendingCall = {
        method: init.method ?? "GET",
        path: new URL(url).pathname,
        sinceMs: Date.now(),
        body: init.body === undefined ? undefined : (JSON.parse(init.body as string) as CreateSandbox),
        settle: { resolve, reject },
      };
      init.signal?.addEventListener("abort", () => {
        call.settle = undefined;
      });
      if (call.body !== undefined) this.#onAsked();
      const traceparent = new Headers(init.headers).get("traceparent");
      if (traceparent !== null) this.callers.push(traceparent.split("-")[2] as string);
      this.#pending.push(call);
    });

  /** Drops the callers of pending calls: the object has died. */
  orphan(): void {
    for (const call of this.#pending) call.settle = undefined;
  }

  /** Does the work of calls without a caller whose timeout has passed. */
  until(ms: number): void {
    for (const call of this.#pending.filter(({ settle, sinceMs }) => settle === undefined && ms - sinceMs > CALL_MS)) {
      this.#pending.splice(this.#pending.indexOf(call), 1);
      this.#perform(call);
    }
  }

  /** Answers one call. @param nth counted from the oldest @param how `reset`: the work is done, but the connection breaks */
  answer(nth: number, how: BrokerAnswer): void {
    const [call] = this.#pending.splice(nth % Math.max(1, this.#pending.length), 1);
    if (call === undefined) return;
    const [status, body] =
      how === "full" && kindOf(call) === "create"
        ? problem(503, "capacity")
        : how === "refuse" || how === "full"
          ? problem(500, REFUSALS[kindOf(call)])
          : this.#perform(call);
    if (status === 201 && "snapshotId" in body && how === "ok" && call.settle !== undefined) {
      this.snapshots.add(body.snapshotId as string);
    }
    if (how === "reset") call.settle?.reject(new Error("reset"));
    else call.settle?.resolve(responseOf(status, body));
  }

  /** Restarts the host: running sandboxes have stopped, with their files, and the object receives no notice. */
  stopAll(): void {
    for (const sandbox of this.sandboxes) sandbox.isAlive = false;
  }

  /** Loses a sandbox; the object receives no notice. */
  lose(id: string): void {
    this.#end((sandbox) => sandbox.id === id);
  }

  #perform({ method, path, body }: PendingCall): readonly [number, object] {
    const [, , kind, id = ""] = path.split("/");
    if (body !== undefined) return this.#create(body);
    if (method === "POST") {
      if (!this.sandboxes.some((sandbox) => sandbox.id === id)) return problem(409, "sandbox_gone");
      const snapshotId = `snp_${++this.#made}`;
      this.#snapshots.add(snapshotId);
      return [201, { snapshotId, sizeBytes: 1 }];
    }
    if (method === "GET" && id === "") return [200, { sandboxes: this.sandboxes.map(shown) }];
    if (method === "GET") {
      const found = this.sandboxes.find((sandbox) => sandbox.id === id);
      return found === undefined ? problem(404, "not_found") : [200, { sandbox: shown(found) }];
    }
    if (kind === "snapshots") {
      this.snapshots.delete(id);
      return [200, { alreadyGone: !this.#snapshots.delete(id) }];
    }
    return [200, { alreadyGone: !this.#end((sandbox) => sandbox.id === id) }];
  }

  #create({ sessionId, generation, runnerToken: token, snapshotId }: CreateSandbox): readonly [number, object] {
    if (this.sandboxes.some((sandbox) => sandbox.generation > generation)) return problem(409, "stale_generation");
    if (snapshotId !== undefined && !this.#snapshots.has(snapshotId)) return problem(404, "not_found");
    this.#end((sandbox) => sandbox.generation < generation);
    const sandbox: StandInSandbox = { id: `sbx_${++this.#made}`, sessionId, generation, token, isAlive: true };
    this.sandboxes.push(sandbox);
    this.#onMade(sandbox);
    return [201, { sandbox: shown(sandbox) }];
  }

  #end(isOne: (sandbox: StandInSandbox) => boolean): boolean {
    const ended = this.sandboxes.filter(isOne);
    for (const sandbox of ended) {
      sandbox.isAlive = false;
      this.sandboxes.splice(this.sandboxes.indexOf(sandbox), 1);
    }
    return ended.length > 0;
  }
}

function shown({ id, sessionId, generation, isAlive }: StandInSandbox) {
  const createdAt = new Date().toISOString();
  const state = isAlive ? { state: "running" } : { state: "stopped", stopReason: "broker_lost" };
  return { id, sessionId, generation, ...state, driver: "local", restartCount: 0, createdAt };
}

function kindOf({ method, body }: PendingCall): keyof typeof REFUSALS {
  if (method === "GET") return "list";
  if (method === "DELETE") return "delete";
  return body === undefined ? "snapshot" : "create";
}

function problem(status: number, code: string): readonly [number, object] {
  return [status, { type: `urn:valet:broker:${code}`, title: "stand-in", status, code }];
}

/** Returns a stand-in for a response: a real body would need the event loop, which does not run during a course. */
function responseOf(status: number, body: object): Response {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  return { ok: status < 400, status, body: [bytes] } as unknown as Response;
}
