import type { AttributeKey } from "./attributes.ts";
import { BROKER_SPANS } from "./broker-spans.ts";
import type { SpanDefinition } from "./definition.ts";
import { SANDBOX_SPANS } from "./sandbox-spans.ts";
import { SESSION_SPANS } from "./session-spans.ts";
import { TURN_SPANS } from "./turn-spans.ts";

/** Every span, by its name in the catalogue. What stands in braces is filled in: `chat {model}`. */
export const SPANS = { ...SESSION_SPANS, ...TURN_SPANS, ...SANDBOX_SPANS, ...BROKER_SPANS } satisfies Record<
  string,
  SpanDefinition
>;

/** What the catalogue says of one event. */
export interface EventDefinition {
  readonly meaning: string;
  /** The spans that may hold it. */
  readonly spans: readonly (keyof typeof SPANS)[] | "any";
  readonly attributes: readonly AttributeKey[];
}

/** Every event, by name. */
export const EVENTS = {
  exception: {
    meaning: "Something was thrown.",
    spans: "any",
    attributes: ["exception.type", "exception.message", "exception.stacktrace"],
  },
  "valet.queue.reason": {
    meaning: "From here on the message waits for this.",
    spans: ["valet.queue.wait"],
    attributes: ["valet.queue.reason", "valet.capacity.place"],
  },
  "valet.capacity.place": {
    meaning: "The session has moved up in the line for a sandbox.",
    spans: ["valet.queue.wait", "valet.capacity.wait"],
    attributes: ["valet.capacity.place"],
  },
  "valet.sandbox.stage": {
    meaning: "The sandbox has come this far.",
    spans: ["valet.sandbox.spawn", "valet.sandbox.restore"],
    attributes: ["valet.sandbox.stage"],
  },
  "valet.runner.disconnected": {
    meaning: "The link is down; what is in work waits for the end of the grace period.",
    spans: ["valet.prompt", "valet.workflow", "valet.sandbox.spawn", "valet.sandbox.restore"],
    attributes: [],
  },
  "valet.runner.reconnected": {
    meaning: "The link is up again, within the grace period.",
    spans: ["valet.prompt", "valet.workflow", "valet.sandbox.spawn", "valet.sandbox.restore"],
    attributes: [],
  },
} as const satisfies Record<string, EventDefinition>;
