import type { AttributeKey } from "./attributes.ts";
import type { ErrorType } from "./error-types.ts";
import type { KINDS, LinkType } from "./values.ts";

/** One span in the catalogue. */
export interface SpanDefinition {
  readonly meaning: string;
  readonly kind: keyof typeof KINDS;
  /** Whether it is an operation: what a trace is about, and what metrics count. */
  readonly operation?: true;
  /** The parts that emit it. The Worker's routes and its SessionAgent are one service but two emitters. */
  readonly emitters: readonly ("worker" | "session-agent" | "runner" | "broker")[];
  /** The possible parents. `root`: it may begin a trace. `caller`: the parent may be a span of an external caller. */
  readonly parents: readonly string[];
  /** Attributes with the same value on every span of this name. */
  readonly fixed?: { readonly [K in AttributeKey]?: string };
  /** Attributes of every such span that ended normally. A sealed span has only those that were known by then. */
  readonly required: readonly AttributeKey[];
  /** Further attributes that it may have. */
  readonly optional: readonly AttributeKey[];
  /**
   * The error types that it may end with, in addition to `_OTHER`: as `error.type` for the outcomes `error` and `lost`, as
   * `valet.outcome.reason` for others. A span with this list ends with `valet.outcome`; one without it has none of the three.
   * HTTP spans are the exception: their `error.type` is the status code as text, and a request that its caller did not complete
   * is `aborted`, with a reason of `http_request`.
   */
  readonly errors?: "status code" | readonly ErrorType[];
  readonly links: readonly LinkType[];
}

/**
 * The attributes that every span may have. The first three are on every span of a session, since backends search spans, not
 * traces: a search for an id that only the root has would find nothing but the root.
 */
export const COMMON_ATTRIBUTES = [
  "valet.session.id",
  "session.id",
  "gen_ai.conversation.id",
  "user.id",
  "vcs.repository.url.full",
  "vcs.ref.head.name",
  "valet.parent_session.id",
  "valet.generation",
  "valet.last_seen_ms",
  "valet.last_heard_ms",
  "valet.error.cause",
] as const satisfies readonly AttributeKey[];

// Groups of attributes that occur together.

export const QUEUE = ["valet.queue.wait_ms", "valet.queue.reason", "valet.queue.mode"] as const;
export const DISPATCH = ["valet.dispatch.attempt_id", "valet.dispatch.attempt"] as const;
export const CHANNEL = ["valet.channel.id", "valet.thread.id"] as const;
export const COLLECT = ["valet.collect.message_count", "valet.collect.buffer_ms", "valet.collect.message_ids"] as const;
export const SANDBOX = ["valet.sandbox.id", "valet.sandbox.driver"] as const;
/** Attributes of work that waited for a sandbox that did not start. */
export const NO_START = ["valet.sandbox.stage", "valet.start.attempt_count"] as const;
/** Attributes of work that a person ended early. */
export const ABORTED = ["valet.aborted_by"] as const;
