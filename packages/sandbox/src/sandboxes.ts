import { createHash } from "node:crypto";
import type { CreateSandbox, Sandbox } from "@valet/shared/protocol/sandbox-broker";
import type { Driver, DriverSandbox } from "./driver.ts";
import { KeyedMutex } from "./mutex.ts";
import { BrokerError } from "./problem.ts";
import type { Steps } from "./request-trace.ts";

/** A session's sandboxes over its generations: one at a time, each made once, never an older one after a newer. */
export class Sandboxes {
  readonly #driver: Driver;
  readonly #sessions = new KeyedMutex();

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** The sandbox that {@link CreateSandbox} asks for: made now, or made before. */
  async create(request: CreateSandbox, steps: Steps, limit: AbortSignal): Promise<Sandbox> {
    const fingerprint = fingerprintOf(request);
    // At once: one that is still being made holds the session's turn.
    await this.#endOlder(request, steps);
    const { sandbox } = await this.#sessions.run(request.sessionId, async () => {
      await this.#endOlder(request, steps);
      const [existing] = await this.#driver.list(request.sessionId);
      if (existing === undefined) return this.#driver.create({ ...request, fingerprint }, steps, limit);
      return sameOrRefuse(existing, request.generation, fingerprint);
    });
    return sandbox;
  }

  async #endOlder({ sessionId, generation }: CreateSandbox, steps: Steps): Promise<void> {
    const older = (await this.#driver.list(sessionId)).filter(({ sandbox }) => sandbox.generation < generation);
    await Promise.all(older.map(({ sandbox }) => this.#driver.terminate(sandbox.id, steps)));
  }
}

function sameOrRefuse(existing: DriverSandbox, generation: number, fingerprint: string): DriverSandbox {
  if (existing.sandbox.generation !== generation) throw new BrokerError("stale_generation");
  if (existing.fingerprint !== fingerprint) throw new BrokerError("generation_conflict");
  return existing;
}

/** Of what decides whether the caller means the same sandbox. The token is random and long: its hash gives nothing away. */
function fingerprintOf({ runnerToken, snapshotId }: CreateSandbox): string {
  return createHash("sha256")
    .update(JSON.stringify([runnerToken, snapshotId ?? null]))
    .digest("hex");
}
