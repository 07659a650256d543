/** A Durable Object that is nothing but its storage, with the tables of a session, for tests that bring the code to it. */
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
