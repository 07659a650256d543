import { env } from "cloudflare:workers";
import type { Env } from "../src/bindings.ts";
import type { Migration } from "../src/database/setup.ts";
import type { Capacity } from "../src/durable-objects/capacity/capacity.ts";
import type { SessionAgent } from "../src/durable-objects/session-agent.ts";

/** The bindings of tests. Objects are typed by their classes, so that a test can access their internals. */
interface TestBindings extends Env {
  readonly SESSION_AGENT: DurableObjectNamespace<SessionAgent>;
  readonly CAPACITY: DurableObjectNamespace<Capacity>;
  readonly MIGRATIONS: readonly Migration[];
}

export const bindings = env as unknown as TestBindings;
