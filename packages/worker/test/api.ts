/** Calls the HTTP API as a client does, with a database for each test file. */
import { exports } from "cloudflare:workers";
import { makeToken, migrate } from "../src/database/setup.ts";
import { bindings } from "./bindings.ts";

const worker = (exports as unknown as { readonly default: Fetcher }).default;
export const ORIGIN = "https://valet.test";

/** Creates a token for an owner. @param ownerId a new owner by default */
export async function signIn(ownerId: string = crypto.randomUUID()): Promise<string> {
  const { DB, MIGRATIONS } = bindings;
  await migrate(DB, MIGRATIONS);
  const { token, statement } = makeToken(ownerId, "test");
  await DB.prepare(statement.sql)
    .bind(...statement.params)
    .run();
  return token;
}

export interface Call {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

/** Calls the Worker. A body that is neither text nor bytes nor a stream is sent as JSON. */
export function call(method: string, path: string, { token, body, headers }: Call = {}): Promise<Response> {
  const isRaw = typeof body === "string" || body instanceof ReadableStream || body instanceof Uint8Array;
  return worker.fetch(
    new Request(ORIGIN + path, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: isRaw ? body : JSON.stringify(body) }),
      redirect: "manual",
    }),
  );
}

/** Creates a session of the token's owner. */
export async function createSession(token: string, input: object = {}): Promise<{ id: string }> {
  const response = await call("POST", "/api/sessions", { token, body: input });
  if (response.status !== 201) throw new Error(await response.text());
  return response.json();
}
