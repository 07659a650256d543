/**
 * Where our tools inside OpenCode ask the runner: HTTP on loopback, behind a secret of this process. Whoever has it can ask
 * for what the tools ask for, and nothing else.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import {
  type ChildSessionAnswer,
  type ModelCallContext,
  ModelCallRef,
  ProviderCall,
  ToolCall,
} from "@valet/shared/protocol/child-sessions";
import { z } from "zod";
import type { SecretValues } from "../secrets/secret-values.ts";

export interface ToolServerOptions {
  /** Never rejects. */
  answer(call: ToolCall, signal: AbortSignal): Promise<ChildSessionAnswer>;
  /** What is taken out of what the tools ask. */
  readonly secrets?: SecretValues;
  /** Told of the agent's requests to providers. */
  onProviderCall?(call: ProviderCall): void;
  /** The context of a model call; nothing of one that is unknown. */
  modelContext?(call: ModelCallRef): ModelCallContext;
  readonly maxOpen?: number;
}

export interface ToolServer {
  readonly url: string;
  readonly secret: string;
  stop(): Promise<void>;
}

const Told = z.object({ providerCall: ProviderCall });
const Asked = z.object({ modelCall: ModelCallRef });
const MAX_BODY_BYTES = 512 * 1024;
const MAX_OPEN = 32;
/** Bun closes a connection on which nothing has come or gone for this long; an answer may take a minute. */
const IDLE_S = 120;

export function startToolServer({
  answer,
  onProviderCall,
  modelContext,
  secrets,
  maxOpen = MAX_OPEN,
}: ToolServerOptions): ToolServer {
  const secret = randomBytes(32).toString("base64url");
  let open = 0;
  const serve = async (request: Request): Promise<Response> => {
    if (!isAuthorised(request, secret)) return refused(401, "A secret is needed.");
    if (request.method !== "POST") return refused(405, "Only POST is answered.");
    if (open >= maxOpen) return refused(429, "Too many calls at once: try again in a moment.");
    open++;
    try {
      const body = await request.json().catch(() => undefined);
      const told = Told.safeParse(body);
      if (told.success) {
        onProviderCall?.(told.data.providerCall);
        return Response.json({});
      }
      const asked = Asked.safeParse(body);
      if (asked.success) return Response.json(modelContext?.(asked.data.modelCall) ?? {});
      const call = ToolCall.safeParse(body);
      if (!call.success) return refused(400, "The call was not understood.");
      const clean = secrets?.redactAll(call.data) ?? call.data;
      return Response.json(await answer(clean, request.signal));
    } finally {
      open--;
    }
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    maxRequestBodySize: MAX_BODY_BYTES,
    idleTimeout: IDLE_S,
    fetch: serve,
    error: () => refused(500, "The runner failed."),
  });
  return { url: `http://127.0.0.1:${server.port}/`, secret, stop: () => server.stop(true) };
}

function isAuthorised(request: Request, secret: string): boolean {
  const given = Buffer.from(request.headers.get("authorization") ?? "");
  const wanted = Buffer.from(`Bearer ${secret}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

/** In the form that the tools read. */
function refused(status: number, error: string): Response {
  return Response.json({ ok: false, error } satisfies ChildSessionAnswer, { status });
}
