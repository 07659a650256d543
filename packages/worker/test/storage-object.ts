/** A Durable Object with the tables of a session and no code, for tests that run code on its storage. */
import { DurableObject } from "cloudflare:workers";
import { upgradeSchema } from "../src/durable-objects/core/schema.ts";
import { SESSION_MIGRATIONS } from "../src/durable-objects/session-schema.ts";

export class StorageObject extends DurableObject {
  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    upgradeSchema(ctx.storage, SESSION_MIGRATIONS);
  }
}

export default { fetch: () => new Response() };
