import { BOUNDARIES } from "../src/spans/boundaries.ts";
import * as meanings from "../src/spans/meanings.ts";
import {
  ATTRIBUTES,
  type AttributeDefinition,
  COMMON_ATTRIBUTES,
  ERRORS,
  type ErrorDefinition,
  EVENTS,
  type EventDefinition,
  endedBy,
  isFailureType,
  RESOURCE_ATTRIBUTES,
  SPANS,
  type SpanDefinition,
} from "../src/spans.ts";
import { code, codes, table } from "./markdown.ts";

/** Renders the boundaries that trace context crosses as a Markdown table. */
export function renderBoundaries(): string {
  return table(
    ["boundary", "carrier"],
    BOUNDARIES.map(({ from, to, carrier }) => [`${from} → ${to}`, carrier]),
  );
}

/** Renders the catalogue as Markdown. */
export function renderCatalogue(): string {
  const spans: [string, SpanDefinition][] = Object.entries(SPANS);
  return [
    "### Spans",
    table(
      ["span", "kind", "operation", "emitted by", "parent", "links", "meaning"],
      spans.map(([name, span]) => [
        code(name),
        span.kind,
        span.operation ? "yes" : "",
        span.emitters.join(", "),
        span.parents.map(parent).join(", "),
        codes(span.links),
        span.meaning,
      ]),
    ),
    "### Attributes of each span",
    `Every span may also have ${codes(COMMON_ATTRIBUTES)}, and every list of error types also includes \`_OTHER\`.`,
    ...spans.map(spanSection),
    "### Events",
    table(["event", "on", "attributes", "meaning"], Object.entries(EVENTS).map(eventRow)),
    "### Attributes",
    table(["attribute", "type", "values", "meaning"], Object.entries(ATTRIBUTES).map(attributeRow)),
    "### Resource attributes",
    table(["attribute", "type", "values", "meaning"], Object.entries(RESOURCE_ATTRIBUTES).map(attributeRow)),
    "### Values",
    "#### `valet.outcome`",
    meaningTable(meanings.OUTCOME_MEANINGS),
    "#### `error.type` for the outcomes `error` and `lost`, `valet.outcome.reason` for any other",
    table(
      ["value", "outcome", "reported by", "also ends descendants", "meaning", "what to do"],
      Object.entries<ErrorDefinition>(ERRORS).map(([type, { outcomes, reporters, cuts, meaning, remedy }]) => [
        code(type),
        codes(outcomes),
        reporters.join(", ") || "earlier versions",
        cuts ? "yes" : "",
        meaning,
        remedy ?? "",
      ]),
    ),
    "#### `valet.link.type`",
    meaningTable(meanings.LINK_MEANINGS),
    "#### `valet.queue.mode`: what a job does if another one is running",
    meaningTable(meanings.QUEUE_MODE_MEANINGS),
    "#### `valet.queue.reason`: what a job waits for",
    meaningTable(meanings.QUEUE_REASON_MEANINGS),
    "#### `valet.spawn.reason`, `valet.restore.reason`",
    meaningTable(meanings.WAKE_REASON_MEANINGS),
    "#### `valet.sandbox.stage`",
    meaningTable(meanings.STAGE_MEANINGS),
    "#### `valet.hibernate.reason`",
    meaningTable(meanings.HIBERNATE_REASON_MEANINGS),
    "#### `valet.terminate.reason`",
    meaningTable(meanings.TERMINATE_REASON_MEANINGS),
    "#### `valet.delete.reason`",
    meaningTable(meanings.DELETE_REASON_MEANINGS),
    "#### `valet.llm.start_source`",
    meaningTable(meanings.START_SOURCE_MEANINGS),
    "#### `valet.changes.unknown`: why it is unknown what a turn changed",
    meaningTable(meanings.CHANGES_UNKNOWN_MEANINGS),
  ].join("\n\n");
}

function spanSection([name, span]: [string, SpanDefinition]): string {
  const fixed = Object.entries(span.fixed ?? {}).map(([key, value]) => `${code(key)} = ${code(value)}`);
  const errors = typeof span.errors === "object" ? span.errors : [];
  const outcome = typeof span.errors === "object" ? ["valet.outcome"] : [];
  const reasons =
    typeof span.errors === "string" ? endedBy("http_request") : errors.filter((type) => !isFailureType(type));
  const lines = {
    always: [...fixed, ...[...outcome, ...span.required].map(code)].join(", "),
    "where known": codes(span.optional),
    "`error.type`":
      typeof span.errors === "string" ? `the ${span.errors} as text` : codes(errors.filter(isFailureType)),
    "`valet.outcome.reason`": codes(reasons),
  };
  const items = Object.entries(lines).filter(([, list]) => list !== "");
  return [`#### ${code(name)}`, "", ...items.map(([what, list]) => `- ${what}: ${list}`)].join("\n");
}

function eventRow([name, { spans, attributes, meaning }]: [string, EventDefinition]): string[] {
  return [code(name), spans === "any" ? "any span" : codes(spans), codes(attributes), meaning];
}

function attributeRow([key, definition]: [string, AttributeDefinition]): string[] {
  const { type, values, unit, content, meaning } = definition;
  const about = [unit && `in ${unit}`, content && "**content**: off unless asked for"].filter(Boolean).join("; ");
  return [code(key), type, codes(values ?? []), about === "" ? meaning : `${meaning} (${about})`];
}

function meaningTable(rows: Record<string, string>): string {
  return table(
    ["value", "meaning"],
    Object.entries(rows).map(([value, meaning]) => [code(value), meaning]),
  );
}

function parent(name: string): string {
  if (name === "root") return "none";
  return name === "caller" ? "the caller's" : code(name);
}
