/**
 * The HTTP server, on loopback, for calls from Valet's tools in OpenCode to the runner. A secret of this process protects it.
 * The secret permits the calls of the tools, and nothing else.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { ShellAnswer, ShellRef } from "@valet/shared/protocol/agent-shell";
import type {
  ChildSessionAnswer,
  ModelCallPermit,
  ModelCallRef,
  ProviderBytes,
  ProviderCall,
  ToolCall,
} from "@valet/shared/protocol/child-sessions";
import type { ModelRequest } from "@valet/shared/protocol/model-request";
import type { SecretValues } from "../secrets/secret-values.ts";
import { readPluginCall } from "./plugin-call.ts";

export interface ToolServerOptions {
  /** Never rejects. */
  answer(call: ToolCall, signal: AbortSignal): Promise<ChildSessionAnswer>;
  /** Secrets that are redacted from the tools' requests. */
  readonly secrets?: SecretValues;
  /** Called with the agent's requests to providers. */
  onProviderCall?(call: ProviderCall): void;
  /** Called with requests to providers as they are sent. */
  onModelRequest?(request: ModelRequest): void;
  /** Called with what providers send, at most once a second and call. */
  onProviderBytes?(bytes: ProviderBytes): void;
  /** Decides on a model call that the agent is about to make. Without it, every call is permitted. */
  permitModelCall?(call: ModelCallRef): Promise<ModelCallPermit>;
  /** Returns for what a shell of the agent works, and its variables. Without it, nobody knows. */
  shellOf?(shell: ShellRef): ShellAnswer;
  readonly maxOpen?: number;
}

export interface ToolServer {
  readonly url: string;
  readonly secret: string;
  stop(): Promise<void>;
}

const MAX_BODY_BYTES = 512 * 1024;
const MAX_OPEN = 32;
/** Bun closes a connection that was idle for this long. An answer may take a minute. */
const IDLE_S = 120;

export function startToolServer({
  answer,
  onProviderCall,
  onModelRequest,
  onProviderBytes,
  permitModelCall,
  shellOf,
  secrets,
  maxOpen = MAX_OPEN,
}: ToolServerOptions): ToolServer {
  const secret = randomBytes(32).toString("base64url");
  let open = 0;
  const serve = async (request: Request): Promise<Response> => {
    if (!isAuthorised(request, secret)) return refused(401, "The secret is missing or wrong.");
    if (request.method !== "POST") return refused(405, "Only POST is allowed.");
    if (open >= maxOpen) return refused(429, "Too many concurrent calls. Try again later.");
    open++;
    try {
      const call = readPluginCall(await request.json().catch(() => undefined));
      switch (call?.about) {
        case undefined:
          return refused(400, "The call is invalid.");
        case "providerCall":
          onProviderCall?.(call.providerCall);
          return Response.json({});
        case "modelRequest":
          onModelRequest?.(call.modelRequest);
          return Response.json({});
        case "providerBytes":
          onProviderBytes?.(call.providerBytes);
          return Response.json({});
        case "modelCall":
          return Response.json((await permitModelCall?.(call.modelCall)) ?? {});
        case "shell":
          return Response.json(shellOf?.(call.shell) ?? {});
        case "tool":
          return Response.json(await answer(secrets?.redactAll(call.tool) ?? call.tool, request.signal));
      }
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

/** Returns a refusal in the format that the tools read. */
function refused(status: number, error: string): Response {
  return Response.json({ ok: false, error } satisfies ChildSessionAnswer, { status });
}
