import type { AttributeKey } from "./attributes.ts";
import type { ErrorType } from "./error-types.ts";
import type { KINDS, LinkType } from "./values.ts";

/** What the catalogue says of one span. */
export interface SpanDefinition {
  readonly meaning: string;
  readonly kind: keyof typeof KINDS;
  /** Whether it is an operation: operations are what traces are about and what is counted. */
  readonly operation?: true;
  /** The parts that emit it. The Worker's routes and its SessionAgent share a service and differ here. */
  readonly emitters: readonly ("worker" | "session-agent" | "runner" | "broker")[];
  /** The spans it may be a child of. `root`: it may begin a trace. `caller`: its parent may be a span that is not ours. */
  readonly parents: readonly string[];
  /** Attributes whose value is the same on every such span. */
  readonly fixed?: { readonly [K in AttributeKey]?: string };
  /** What every such span has when it ends by itself. A sealed one has what was known by then. */
  readonly required: readonly AttributeKey[];
  /** What it may have besides. */
  readonly optional: readonly AttributeKey[];
  /**
   * What it may end with, besides `_OTHER`: `error.type` where the outcome is `error` or `lost`, `valet.outcome.reason` where it
   * is another. A span with such a list ends with `valet.outcome`; one without has none of the three, but for HTTP spans: their
   * `error.type` is the status code as text, and one that its caller did not finish is `aborted`, with a reason of `http_request`.
   */
  readonly errors?: "status code" | readonly ErrorType[];
  readonly links: readonly LinkType[];
}

/**
 * What every span may carry; the first three are on every span of a session: an id on the root alone finds nothing else of
 * its trace.
 */
export const COMMON_ATTRIBUTES = [
  "valet.session.id",
  "session.id",
  "gen_ai.conversation.id",
  "valet.generation",
  "valet.last_seen_ms",
  "valet.last_heard_ms",
] as const satisfies readonly AttributeKey[];

// Attributes that come together.

export const QUEUE = ["valet.queue.wait_ms", "valet.queue.reason", "valet.queue.mode"] as const;
export const DISPATCH = ["valet.dispatch.attempt_id", "valet.dispatch.attempt"] as const;
export const CHANNEL = ["valet.channel.id", "valet.thread.id"] as const;
export const COLLECT = ["valet.collect.message_count", "valet.collect.buffer_ms", "valet.collect.message_ids"] as const;
export const SANDBOX = ["valet.sandbox.id", "valet.sandbox.driver"] as const;
/** Of what waited for a sandbox that did not start. */
export const NO_START = ["valet.sandbox.stage", "valet.start.attempt_count"] as const;
/** Of work that failed: what lies behind it. */
export const FAILED = [...NO_START, "valet.error.cause"] as const;
