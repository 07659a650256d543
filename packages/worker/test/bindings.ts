import { env } from "cloudflare:workers";
import type { Env } from "../src/bindings.ts";
import type { Migration } from "../src/database/setup.ts";
import type { Capacity } from "../src/durable-objects/capacity/capacity.ts";
import type { SessionAgent } from "../src/durable-objects/session-agent.ts";

/** What tests are bound to: objects are known by their classes, so that a test can reach into one. */
interface TestBindings extends Env {
  readonly SESSION_AGENT: DurableObjectNamespace<SessionAgent>;
  readonly CAPACITY: DurableObjectNamespace<Capacity>;
  readonly MIGRATIONS: readonly Migration[];
}

export const bindings = env as unknown as TestBindings;
