/**
 * The backend of a session's spans, in memory: it answers at once, as the course tells it, and keeps the ids of the spans that it
 * has taken.
 */
import { gunzipSync } from "node:zlib";
import { spansOf } from "../otlp.ts";

/** `partial`: it takes all spans of a request but the first, and does not say which it rejects. */
export type BackendMode = "ok" | "away" | "refuse" | "partial" | "page";

const STATUS = { ok: 200, away: 503, refuse: 400, partial: 200, page: 200 } as const;

export class StandInBackend {
  mode: BackendMode = "ok";
  /** Whether it has ever not answered as a backend does, so that spans were to be sent again later. */
  hasFailed = false;
  /** Whether it has ever refused or rejected spans. */
  hasRefused = false;
  /** The spans that it has taken, by their ids, with their traces. */
  readonly taken = new Map<string, string>();

  /** @param leaves whether the request arrives @param returns whether its answer does */
  fetch(init: RequestInit, leaves: () => boolean, returns: () => boolean): Promise<Response> {
    const never = new Promise<Response>(() => {});
    if (!leaves()) return never;
    const { mode } = this;
    const spans = spansOf(gunzipSync(init.body as Uint8Array).toString());
    const taken = mode === "ok" ? spans : mode === "partial" ? spans.slice(1) : [];
    for (const { spanId, traceId } of taken) this.taken.set(spanId, traceId);
    if (mode === "away" || mode === "page") this.hasFailed = true;
    if (mode === "refuse" || mode === "partial") this.hasRefused = true;
    return returns() ? Promise.resolve(answerOf(mode)) : never;
  }
}

/** Returns a stand-in for a response: a real body would need the event loop, which does not run during a course. */
function answerOf(mode: BackendMode): Response {
  const status = STATUS[mode];
  const text = mode === "partial" ? '{"partialSuccess":{"rejectedSpans":1}}' : mode === "page" ? "<html>" : "";
  const type = mode === "page" ? "text/html" : "application/json";
  const parts = text === "" ? [] : [new TextEncoder().encode(text)];
  const reader = {
    read: async () => {
      const value = parts.shift();
      return { done: value === undefined, value };
    },
    cancel: async () => {},
  };
  const body = { getReader: () => reader, cancel: async () => {} };
  return { ok: status < 300, status, headers: new Headers({ "content-type": type }), body } as unknown as Response;
}
