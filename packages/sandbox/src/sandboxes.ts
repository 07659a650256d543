import { createHash } from "node:crypto";
import type { CreateSandbox, Sandbox } from "@valet/shared/protocol/sandbox-broker";
import type { Driver, DriverSandbox } from "./driver.ts";
import { KeyedMutex } from "./mutex.ts";
import { BrokerError } from "./problem.ts";
import type { Steps } from "./request-trace.ts";

/**
 * A session's sandboxes over its generations: one at a time; each is created once, and never an older one after a
 * newer.
 */
export class Sandboxes {
  readonly #driver: Driver;
  readonly #sessions = new KeyedMutex();
  readonly #isDraining: () => boolean;

  /** @param isDraining whether new sandboxes are refused, as if there were no room for them */
  constructor(driver: Driver, isDraining: () => boolean) {
    this.#driver = driver;
    this.#isDraining = isDraining;
  }

  /** Returns the sandbox that {@link CreateSandbox} describes; creates it if it does not exist yet. */
  async create(request: CreateSandbox, steps: Steps, limit: AbortSignal): Promise<Sandbox> {
    const fingerprint = fingerprintOf(request);
    // Outside the mutex, since a sandbox that is still being created holds it.
    await this.#endOlder(request, steps);
    const { sandbox } = await this.#sessions.run(request.sessionId, async () => {
      await this.#endOlder(request, steps);
      const [existing] = await this.#driver.list(request.sessionId);
      if (existing !== undefined) return sameOrRefuse(existing, request.generation, fingerprint);
      // Callers wait after this code, and nothing fails because of it.
      if (this.#isDraining()) throw new BrokerError("capacity", "the broker is draining");
      return this.#driver.create({ ...request, fingerprint }, steps, limit);
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

/**
 * Returns a hash of everything that identifies the requested sandbox. The token is random and long, so its hash reveals
 * nothing.
 */
function fingerprintOf({ runnerToken, snapshotId }: CreateSandbox): string {
  return createHash("sha256")
    .update(JSON.stringify([runnerToken, snapshotId ?? null]))
    .digest("hex");
}
