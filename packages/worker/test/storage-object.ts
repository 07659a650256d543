/** A Durable Object that is nothing but its storage, for tests that bring the code to it. */
import { DurableObject } from "cloudflare:workers";

export class StorageObject extends DurableObject {}

export default { fetch: () => new Response() };
