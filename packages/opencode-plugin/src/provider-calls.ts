/**
 * Observes the requests to providers from within OpenCode's process, the only place where a provider's answer is known.
 * OpenCode itself reports a status only by its text, and the usage of an answer only after the tools that it called
 * have run. It reports only numbers and words of protocols.
 *
 * A request that the runner has refused is not sent.
 *
 * Answers are passed on unchanged, with four exceptions: a stream that begins with an error, or a document that is one, becomes the
 * HTTP error that it stands for, so that it is tried again like one; a web page becomes an answer that cannot be read, which OpenCode
 * would take for an empty one; tool calls that share an id get ids of their own; and a stream that brings no event for too long
 * (comments do not count) breaks off.
 */

import { randomUUID } from "node:crypto";
import { LIMITS } from "@valet/shared/limits";
import type { ModelCallPermit, ProviderBytes, ProviderCall, TokenKind } from "@valet/shared/protocol/child-sessions";
import { OWN_PROVIDER } from "@valet/shared/protocol/model-access";
import type { ModelRequest } from "@valet/shared/protocol/model-request";
import { head } from "@valet/shared/text";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { ByteReports } from "./byte-reports.ts";
import { costOf, inputPrices, type Prices, unpricedKinds } from "./call-cost.ts";
import type { PreparedRequest } from "./model-requests.ts";
import { hasNegativePart, ProviderStream } from "./provider-usage.ts";
import type { RunnerAccess } from "./runner-access.ts";
import { documentError } from "./stream-errors.ts";
import { fetchWithState } from "./tracestate-fetch.ts";
import { UniqueCallIds } from "./unique-call-ids.ts";
import { StreamSilent, WatchedStream } from "./watched-stream.ts";
import { isWebPage, unreadableAnswer } from "./web-page.ts";

/** Marks a request as a model call. It is removed before the request is sent. */
const HEADER = "x-valet-call";
/** How long a report may take, and so how long a runner that hangs holds up what waits for it. */
const REPORT_MS = 1_000;
const MAX_CALLS = 100;
/** HTTP statuses: of every answer that is observed to its end, and what a silent provider's is reported with. */
const OK_STATUS = 200;
const TIMEOUT_STATUS = 408;

/** OpenCode's input for the headers of a call. */
interface HeadersInput {
  readonly sessionID: string;
  readonly model?: { readonly providerID?: string; readonly cost?: Prices };
}

/** A call of which OpenCode has asked for the headers. */
interface Made {
  readonly sessionId: string;
  readonly prices: Prices | undefined;
  /** Kinds of tokens whose price is unknown. */
  readonly unpriced: readonly TokenKind[];
  readonly permit: ModelCallPermit;
  /** Returns what the runner is told of the request. */
  readonly prepared: (() => PreparedRequest) | undefined;
}

/** OpenCode does not retry what was aborted. */
function refusal(): DOMException {
  return new DOMException("Valet has ended the work that this model call is for.", "AbortError");
}

/** @param silenceMs how long a stream may bring no event */
export function observeProviderCalls(access: RunnerAccess, silenceMs = LIMITS.providerSilenceMs) {
  const calls = new Map<string, Made>();
  const original = globalThis.fetch;
  const report: Report = async (news) => {
    const { url, secret } = access;
    await original(url, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      body: JSON.stringify(news),
      signal: AbortSignal.timeout(REPORT_MS),
    }).catch(() => undefined);
  };

  const observedFetch = async (input: Parameters<typeof fetch>[0], init?: Parameters<typeof fetch>[1]) => {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    const callId = headers.get(HEADER);
    if (callId === null) return original(input, init);
    headers.delete(HEADER);
    const made = calls.get(callId);
    calls.delete(callId);
    if (made?.permit.isRefused) throw refusal();
    const response = fetchWithState(original, { input, init, headers }, made?.permit);
    if (made === undefined) return response;
    // The request does not wait for this report. The reports of its response do, so that the runner gets them in order.
    const told = made.prepared === undefined ? Promise.resolve() : reportRequest(report, made.prepared, Date.now());
    const { sessionId, prices, unpriced } = made;
    const lacking = unpriced.length > 0 ? { unpriced: [...unpriced] } : {};
    return observe(
      await response,
      { callId, opencodeSessionId: sessionId, startedMs: Date.now(), ...inputPrices(prices), ...lacking },
      prices,
      async (news) => {
        await told;
        await report(news);
      },
      silenceMs,
    );
  };
  globalThis.fetch = Object.assign(observedFetch, original);

  return (
    { sessionID, model }: HeadersInput,
    output: { headers: Record<string, string> },
    permit: ModelCallPermit = {},
    prepared?: () => PreparedRequest,
  ): void => {
    const callId = randomUUID();
    // `VALET_MODEL_PRICES` sets every price, so 0 is a price.
    const unpriced = model?.providerID === OWN_PROVIDER ? [] : unpricedKinds(model?.cost);
    calls.set(callId, { sessionId: sessionID, prices: model?.cost, unpriced, permit, prepared });
    for (const oldest of calls.keys()) if (calls.size > MAX_CALLS) calls.delete(oldest);
    output.headers[HEADER] = callId;
  };
}

/** Tells the runner something of a call. Never rejects. */
type Report = (
  news:
    | { readonly providerCall: ProviderCall }
    | { readonly providerBytes: ProviderBytes }
    | { readonly modelRequest: ModelRequest },
) => Promise<void>;

/** Reports that a request was sent. Never rejects: what OpenCode's hooks hold may be anything. */
async function reportRequest(report: Report, prepared: () => PreparedRequest, atMs: number): Promise<void> {
  try {
    await report({ modelRequest: { ...prepared(), atMs } });
  } catch {
    // The runner goes by OpenCode's events.
  }
}

type Known = Pick<ProviderCall, "callId" | "opencodeSessionId" | "startedMs" | "prices" | "unpriced">;

async function observe(
  response: Response,
  known: Known,
  prices: Prices | undefined,
  report: Report,
  silenceMs: number,
): Promise<Response> {
  const { status, statusText, headers, body } = response;
  // OpenCode's events reach the runner by another way. It sees an error, and the end of an answer, only after the runner knows
  // of them, so no event of it can be ahead. Text waits for no report.
  const reported = report({ providerCall: { ...known, status } });
  if (!response.ok || body === null) {
    await reported;
    return response;
  }
  const stream = new ProviderStream();
  const { opencodeSessionId, startedMs } = known;
  const bytes = new ByteReports(startedMs, (atMs) => report({ providerBytes: { opencodeSessionId, atMs } }));
  const reader = new WatchedStream(body, stream, silenceMs, () => bytes.heard());
  const end = async (endStatus: number) => {
    // The later report counts.
    await reported;
    const { tokens, finish } = stream;
    const costUsd = tokens && costOf(tokens, prices);
    const ended = { ...known, status: endStatus, endedMs: Date.now() };
    return report({
      providerCall: { ...ended, ...withoutUndefined({ finish: finish && head(finish, 64), tokens, costUsd }) },
    });
  };
  try {
    const begun = await reader.begin();
    if (stream.events === 0 && isWebPage(headers.get("content-type"), begun[0])) {
      await end(status);
      await reader.cancel();
      return unreadableAnswer();
    }
    const document = stream.events === 0 ? await reader.document(begun) : undefined;
    const inPlace = document === undefined ? undefined : documentError(document);
    const error = inPlace ?? stream.error;
    if (error !== undefined) await end(error.status);
    if (error === undefined || !(inPlace || stream.beganWithError)) {
      return new Response(passOn(begun, reader, stream, reported, end), { status, statusText, headers });
    }
    await reader.cancel();
    return Response.json({ error: error.error }, { status: error.status });
  } catch (error) {
    await end(error instanceof StreamSilent ? TIMEOUT_STATUS : status);
    throw error;
  }
}

/** Passes on what was read, then the rest. */
function passOn(
  begun: readonly Uint8Array[],
  reader: WatchedStream,
  stream: ProviderStream,
  reported: Promise<void>,
  end: (status: number) => Promise<void>,
): ReadableStream<Uint8Array> {
  let isReported = stream.error !== undefined;
  const ids = new UniqueCallIds();
  return new ReadableStream<Uint8Array>({
    start(controller) {
      for (const bytes of begun) enqueue(controller, ids.pass(bytes));
    },
    async pull(controller) {
      try {
        let isPassed = false;
        while (!isPassed) {
          const bytes = await reader.read();
          if (stream.error !== undefined && !isReported) {
            isReported = true;
            await end(stream.error.status);
          }
          if (bytes === undefined) break;
          isPassed = enqueue(controller, ids.pass(bytes));
        }
        if (isPassed) return;
        enqueue(controller, ids.end());
        const ended = isReported ? undefined : end(OK_STATUS);
        // The runner must have these counts before it hears of OpenCode's.
        if (stream.tokens !== undefined && hasNegativePart(stream.tokens)) await ended;
        await reported;
        controller.close();
      } catch (error) {
        if (error instanceof StreamSilent) await end(TIMEOUT_STATUS);
        controller.error(error);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** @returns whether there were bytes: a reader waits for some */
function enqueue(controller: ReadableStreamDefaultController<Uint8Array>, bytes: Uint8Array): boolean {
  if (bytes.length > 0) controller.enqueue(bytes);
  return bytes.length > 0;
}
