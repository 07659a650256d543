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

/** Where contexts pass from process to process, as a table. */
export function renderBoundaries(): string {
  return table(
    ["boundary", "carrier", "state"],
    BOUNDARIES.map(({ from, to, carrier, notYet }) => [`${from} → ${to}`, carrier, notYet ? "*not yet*" : "built"]),
  );
}

/** The catalogue as Markdown. */
export function renderCatalogue(): string {
  const spans: [string, SpanDefinition][] = Object.entries(SPANS);
  return [
    "### Spans",
    table(
      ["span", "kind", "operation", "emitted by", "parent", "links", "what it is"],
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
    "### What each span carries",
    `Every span may also carry ${codes(COMMON_ATTRIBUTES)}, and every list of error types holds \`_OTHER\` too.`,
    ...spans.map(spanSection),
    "### Events",
    table(["event", "on", "attributes", "what it says"], Object.entries(EVENTS).map(eventRow)),
    "### Attributes",
    table(["attribute", "type", "values", "what it says"], Object.entries(ATTRIBUTES).map(attributeRow)),
    "### Resource attributes",
    table(["attribute", "type", "values", "what it says"], Object.entries(RESOURCE_ATTRIBUTES).map(attributeRow)),
    "### Values",
    "#### `valet.outcome`",
    meaningTable(meanings.OUTCOME_MEANINGS),
    "#### `error.type` with the outcomes `error` and `lost`, `valet.outcome.reason` with any other",
    table(
      ["value", "outcome", "reported by", "cuts what is below", "meaning", "what to do"],
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
    "#### `valet.queue.mode`: what a message does when another is in work",
    meaningTable(meanings.QUEUE_MODE_MEANINGS),
    "#### `valet.queue.reason`: what a message waits for",
    meaningTable(meanings.QUEUE_REASON_MEANINGS),
    "#### `valet.spawn.reason`, `valet.restore.reason`",
    meaningTable(meanings.WAKE_REASON_MEANINGS),
    "#### `valet.sandbox.stage`",
    meaningTable(meanings.STAGE_MEANINGS),
    "#### `valet.hibernate.reason`",
    meaningTable(meanings.HIBERNATE_REASON_MEANINGS),
    "#### `valet.terminate.reason`",
    meaningTable(meanings.TERMINATE_REASON_MEANINGS),
    "#### `valet.llm.start_source`",
    meaningTable(meanings.START_SOURCE_MEANINGS),
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
