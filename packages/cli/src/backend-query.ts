/** Queries the backend that spans are exported to, Tempo or Jaeger, for the spans of a trace. */
import { z } from "zod";
import { UserError } from "./errors.ts";

export interface BackendOptions {
  readonly kind: "Tempo" | "Jaeger";
  /** The base URL of its query API, without `/api/traces`. */
  readonly url: string;
  /** The value of the `Authorization` header. */
  readonly authorization: string | undefined;
}

/** What a backend has of a trace at this moment. */
export interface BackendTrace {
  /** The ids of its spans, lower-case hex; empty while the backend has none. */
  readonly spanIds: ReadonlySet<string>;
  /** The ids of spans that it has more than once; absent if there are none. */
  readonly repeatedIds?: readonly string[];
  /** Why the backend could not be queried. */
  readonly problem?: string;
}

const TIMEOUT_MS = 10_000;
const NOTHING: ReadonlySet<string> = new Set();

const JaegerAnswer = z.object({ data: z.array(z.object({ spans: z.array(z.object({ spanID: z.string() })) })) });
/** Tempo answers with an empty object for a trace without spans. */
const TempoAnswer = z.union([
  z.object({
    batches: z.array(z.object({ scopeSpans: z.array(z.object({ spans: z.array(z.object({ spanId: z.string() })) })) })),
  }),
  z.strictObject({ batches: z.undefined().optional() }),
]);

/**
 * Returns the ids of the spans in a backend's answer; `undefined` when the answer is not from this kind of backend.
 * Pure.
 */
export function readSpanIds(kind: BackendOptions["kind"], answer: unknown): ReadonlySet<string> | undefined {
  const ids = listSpanIds(kind, answer);
  return ids && new Set(ids);
}

/** Returns the ids of all spans in a backend's answer, repeated ones as often as they are there. */
function listSpanIds(kind: BackendOptions["kind"], answer: unknown): string[] | undefined {
  if (kind === "Jaeger") {
    const { data } = JaegerAnswer.safeParse(answer);
    return data?.data.flatMap(({ spans }) => spans.map(({ spanID }) => spanID));
  }
  const { data } = TempoAnswer.safeParse(answer);
  const spans = data?.batches?.flatMap(({ scopeSpans }) => scopeSpans.flatMap((each) => each.spans)) ?? [];
  return data && spans.map(({ spanId }) => Buffer.from(spanId, "base64").toString("hex"));
}

function repeatedIn(ids: readonly string[]): string[] {
  const seen = new Set<string>();
  const repeated = ids.filter((id) => seen.size === seen.add(id).size);
  return [...new Set(repeated)];
}

export class BackendQuery {
  readonly kind: BackendOptions["kind"];
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** @throws UserError for a URL that cannot be used */
  constructor({ kind, url, authorization }: BackendOptions) {
    const { protocol = "", username = "", password = "" } = URL.parse(url) ?? {};
    if (!/^https?:$/.test(protocol) || username !== "" || password !== "")
      throw new UserError(`The URL of ${kind} must be an http or https URL, without user and password.`);
    this.kind = kind;
    this.#base = `${url.replace(/\/+$/, "")}/api/traces`;
    this.#headers = { accept: "application/json", ...(authorization === undefined ? {} : { authorization }) };
  }

  /**
   * Queries a trace that does not exist, which tells a wrong URL or key from a missing trace.
   * @throws UserError that says what is wrong
   */
  async check(): Promise<void> {
    const { problem = await this.#checkEcho() } = await this.trace(crypto.randomUUID().replaceAll("-", ""));
    if (problem !== undefined) throw new UserError(`${this.kind}: ${problem.replace(/([^.?])$/, "$1.")}`);
  }

  /** Tempo answers 404 for an unknown trace, as any web server does for any path. Only Tempo has `/api/echo`. */
  async #checkEcho(): Promise<string | undefined> {
    if (this.kind !== "Tempo") return undefined;
    const url = this.#base.replace(/traces$/, "echo");
    try {
      const response = await this.#get(url);
      const text = await response.text();
      if (response.ok && text.trim() === "echo") return undefined;
      return `${url} ${response.ok ? "does not answer as Tempo does" : `answers HTTP ${response.status}`}: is this the URL of Tempo's query API?`;
    } catch (error) {
      return `${url} ${failureOf(error as Error, this.kind)}`;
    }
  }

  #get(url: string): Promise<Response> {
    return fetch(url, {
      headers: this.#headers,
      // A redirect leads to a login page, or would send the key to another host.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  }

  /** Returns what the backend has of the trace. Never rejects. */
  async trace(traceId: string): Promise<BackendTrace> {
    try {
      const response = await this.#get(`${this.#base}/${traceId}`);
      const text = await response.text();
      if (response.status === 404 && isNotFound(this.kind, text)) return { spanIds: NOTHING };
      if (!response.ok) return this.#problem(`answers HTTP ${response.status}`);
      const ids = listSpanIds(this.kind, JSON.parse(text));
      if (ids === undefined) return this.#problem(`is not ${this.kind}`);
      const repeatedIds = repeatedIn(ids);
      return { spanIds: new Set(ids), ...(repeatedIds.length > 0 && { repeatedIds }) };
    } catch (error) {
      return this.#problem(failureOf(error as Error, this.kind));
    }
  }

  #problem(what: string): BackendTrace {
    return { spanIds: NOTHING, problem: `${this.#base} ${what}` };
  }
}

/**
 * Returns whether a 404 means that the trace is unknown. Jaeger says so in JSON, Tempo with an empty body; any other
 * body comes from another server, or from another port of the backend.
 */
function isNotFound(kind: BackendOptions["kind"], text: string): boolean {
  return kind === "Tempo" ? /^\s*(?:trace not found\s*)?$/i.test(text) : /"msg":\s*"trace not found"/.test(text);
}

function failureOf(error: Error, kind: BackendOptions["kind"]): string {
  if (error instanceof SyntaxError) return `is not ${kind}: its answer is not JSON`;
  if (error.name === "TimeoutError") return `did not answer within ${TIMEOUT_MS / 1000} s`;
  const { code } = (error.cause ?? {}) as { code?: unknown };
  return `does not answer${typeof code === "string" ? ` (${code})` : ""}`;
}
