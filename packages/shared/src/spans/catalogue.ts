import type { AttributeKey } from "./attributes.ts";
import { BROKER_SPANS } from "./broker-spans.ts";
import type { SpanDefinition } from "./definition.ts";
import { SANDBOX_SPANS } from "./sandbox-spans.ts";
import { SESSION_SPANS } from "./session-spans.ts";
import { TURN_SPANS } from "./turn-spans.ts";

/** Every span, by its name in the catalogue. Braces mark a placeholder: `chat {model}`. */
export const SPANS = { ...SESSION_SPANS, ...TURN_SPANS, ...SANDBOX_SPANS, ...BROKER_SPANS } satisfies Record<
  string,
  SpanDefinition
>;

/** One event in the catalogue. */
export interface EventDefinition {
  readonly meaning: string;
  /** The spans that may have it. */
  readonly spans: readonly (keyof typeof SPANS)[] | "any";
  readonly attributes: readonly AttributeKey[];
}

/** Every event, by name. */
export const EVENTS = {
  exception: {
    meaning: "Code threw an exception.",
    spans: "any",
    attributes: ["exception.type", "exception.message", "exception.stacktrace"],
  },
  "valet.queue.reason": {
    meaning: "From now on the job waits for this reason.",
    spans: ["valet.queue.wait"],
    attributes: ["valet.queue.reason", "valet.capacity.place"],
  },
  "valet.capacity.place": {
    meaning: "The session moved up among those that wait for a sandbox.",
    spans: ["valet.queue.wait", "valet.capacity.wait"],
    attributes: ["valet.capacity.place"],
  },
  "valet.sandbox.stage": {
    meaning: "The start reached this stage.",
    spans: ["valet.sandbox.spawn", "valet.sandbox.restore"],
    attributes: ["valet.sandbox.stage"],
  },
  "valet.runner.disconnected": {
    meaning: "The link is down; running work stays open until the grace period ends.",
    spans: ["valet.prompt", "valet.workflow", "valet.sandbox.spawn", "valet.sandbox.restore"],
    attributes: [],
  },
  "valet.runner.reconnected": {
    meaning: "The link is up again, within the grace period.",
    spans: ["valet.prompt", "valet.workflow", "valet.sandbox.spawn", "valet.sandbox.restore"],
    attributes: [],
  },
} as const satisfies Record<string, EventDefinition>;
