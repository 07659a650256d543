/**
 * Observes the requests to providers from within OpenCode's process, the only place where a provider's answer is known.
 * OpenCode itself reports a status only by its text, and the usage of an answer only after the tools that it called
 * have run. The observation changes and keeps nothing, and delays only a refusal, until the runner knows of it. It
 * reports only numbers and words of protocols.
 */

import { randomUUID } from "node:crypto";
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";
import { head } from "@valet/shared/text";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { ProviderStream, type UsedTokens } from "./provider-usage.ts";
import type { RunnerAccess } from "./runner-access.ts";

/** Marks a request as a model call. It is removed before the request is sent. */
const HEADER = "x-valet-call";
const TIMEOUT_MS = 1_000;
const MAX_CALLS = 100;

interface Prices {
  readonly input: number;
  readonly output: number;
  readonly cache: { readonly read: number; readonly write: number };
  readonly tiers?: unknown;
  readonly experimentalOver200K?: unknown;
}

/** OpenCode's input for the headers of a call. */
interface HeadersInput {
  readonly sessionID: string;
  readonly model?: { readonly cost?: Prices };
}

export function observeProviderCalls(access: RunnerAccess) {
  const calls = new Map<string, { readonly sessionId: string; readonly prices: Prices | undefined }>();
  const original = globalThis.fetch;
  const report = async (call: ProviderCall) => {
    const { url, secret } = access;
    await original(url, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      body: JSON.stringify({ providerCall: call }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch(() => undefined);
  };

  const observedFetch = async (input: Parameters<typeof fetch>[0], init?: Parameters<typeof fetch>[1]) => {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    const callId = headers.get(HEADER);
    if (callId === null) return original(input, init);
    headers.delete(HEADER);
    const made = calls.get(callId);
    calls.delete(callId);
    const response = original(input, { ...init, headers });
    if (made === undefined) return response;
    const { sessionId, prices } = made;
    return observe(await response, { callId, opencodeSessionId: sessionId, startedMs: Date.now() }, prices, report);
  };
  globalThis.fetch = Object.assign(observedFetch, original);

  return async ({ sessionID, model }: HeadersInput, output: { headers: Record<string, string> }) => {
    const callId = randomUUID();
    calls.set(callId, { sessionId: sessionID, prices: model?.cost });
    for (const oldest of calls.keys()) if (calls.size > MAX_CALLS) calls.delete(oldest);
    output.headers[HEADER] = callId;
  };
}

type Known = Pick<ProviderCall, "callId" | "opencodeSessionId" | "startedMs">;

async function observe(
  response: Response,
  known: Known,
  prices: Prices | undefined,
  report: (call: ProviderCall) => Promise<void>,
): Promise<Response> {
  const { status, statusText, headers, body } = response;
  const reported = report({ ...known, status });
  if (!response.ok || body === null) {
    // So that the reason is known before OpenCode reports its retry.
    await reported;
    return response;
  }
  const stream = new ProviderStream();
  const observed = new TransformStream<Uint8Array, Uint8Array>({
    transform(bytes, controller) {
      controller.enqueue(bytes);
      stream.read(bytes);
    },
    flush() {
      const { tokens, finish } = stream;
      const costUsd = tokens && costOf(tokens, prices);
      void report({
        ...known,
        status,
        endedMs: Date.now(),
        ...withoutUndefined({ finish: finish && head(finish, 64), tokens, costUsd }),
      });
    },
  });
  return new Response(body.pipeThrough(observed), { status, statusText, headers });
}

/** Returns the cost, calculated as OpenCode does. Prices that depend on the context's length are left to OpenCode. */
function costOf({ input, output, reasoning, cache }: UsedTokens, prices: Prices | undefined): number | undefined {
  if (prices === undefined || prices.tiers !== undefined || prices.experimentalOver200K !== undefined) return undefined;
  const micros =
    input * prices.input +
    (output + reasoning) * prices.output +
    cache.read * prices.cache.read +
    cache.write * prices.cache.write;
  return micros > 0 ? micros / 1e6 : undefined;
}
