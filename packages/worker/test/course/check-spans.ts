/** Checks the spans of an ended session, whatever its course was. */
import { uncatalogued } from "../catalogue.ts";
import { misnested } from "../nesting.ts";
import { CALLER, type SeenSpan, spansIn } from "../session.ts";
import type { Host } from "./host.ts";
import { check, type Model } from "./model.ts";

const [, CALLER_TRACE, CALLER_SPAN] = CALLER.traceparent?.split("-") ?? [];
const OPERATION = /^valet\.(?:sandbox\.(?:spawn|restore|hibernate)|session\.terminate)$/;
const WITHOUT_OUTCOME = new Set(["valet.trace_plane.dropped"]);

/**
 * @param begun attempts that a runner began to work on
 * @param delivered the ids of spans that the object has acknowledged to a runner
 * @param isOneClock whether the clock never went back
 */
export function checkSpans(
  { parts, broker, database }: Host,
  { messages, operations }: Model,
  sql: SqlStorage,
  begun: ReadonlyMap<string, number>,
  delivered: ReadonlySet<string>,
  isOneClock: boolean,
): void {
  const { segments } = parts.traces;
  const spans: SeenSpan[] = [];
  let cursor = 0;
  for (let next = segments.textAfter(0); next !== undefined; next = segments.textAfter(cursor)) {
    cursor = next.id;
    spans.push(...spansIn(next.text));
  }
  check(segments.tailText() === undefined, "everything recorded is handed to export");
  check(sql.exec("SELECT 1 FROM trace_open").toArray().length === 0, "no span is left open");
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  check(byId.size === spans.length, "no span ends twice");

  for (const { name, parentSpanId, links, attributes } of spans) {
    const hasParent = parentSpanId === undefined || parentSpanId === CALLER_SPAN || byId.has(parentSpanId);
    check(hasParent, `${name} has its parent`);
    for (const link of links) {
      const isThere = byId.get(link.spanId)?.traceId === link.traceId || link.traceId === CALLER_TRACE;
      check(isThere, `${name} links to a span that is there`);
    }
    check(WITHOUT_OUTCOME.has(name) || attributes["valet.outcome"] !== undefined, `${name} has an outcome`);
  }
  const [first] = uncatalogued("ses_course", spans);
  check(first === undefined, `every span is in the catalogue: ${first}`);

  const [fault] = isOneClock ? misnested(spans) : [];
  check(fault === undefined, `every span lies in its parent: ${fault}`);

  const named = (name: string) => spans.filter((span) => span.name === name);
  const sandboxes = spans.filter(({ name }) => OPERATION.test(name));
  check(sandboxes.length === operations.size, "each operation of a sandbox has one span");
  for (const { spanId, name } of sandboxes)
    check(operations.get(spanId) === name, `${name} is an operation that there was`);
  for (const spanId of broker.callers) check(byId.has(spanId), "each call of the broker has its span");

  const prompts = new Map(named("valet.prompt").map((span) => [span.attributes["valet.message.id"], span]));
  check(prompts.size === messages.length && named("valet.prompt").length === messages.length, "a message has one span");
  const waits = Map.groupBy(named("valet.queue.wait"), ({ attributes }) => attributes["valet.message.id"]);
  for (const { id, end } of messages) {
    const { "valet.outcome": outcome, ...attributes } = prompts.get(id)?.attributes ?? {};
    const errorType = attributes["error.type"] ?? attributes["valet.outcome.reason"] ?? "";
    check(`${outcome} ${errorType}` === end, `the span of a message says how it ended: ${end}`);
    const dispatched = (waits.get(id) ?? []).filter(({ attributes }) => attributes["valet.outcome"] === "ok").length;
    const [row] = sql.exec("SELECT attempts FROM jobs WHERE id = ?", id).toArray();
    check(dispatched === row?.attempts, "each attempt was waited for");
  }

  const attempts = sql.exec("SELECT id, acceptedMs FROM attempts").toArray();
  const dispatches = named("valet.prompt.dispatch").map(({ attributes }) => attributes["valet.dispatch.attempt_id"]);
  check(
    new Set(dispatches).size === attempts.length && dispatches.length === attempts.length,
    "a dispatch has one span",
  );
  const accepted = attempts.filter(({ acceptedMs }) => acceptedMs !== null).map(({ id }) => id as string);
  const turns = named("valet.turn").map(({ attributes }) => attributes["valet.dispatch.attempt_id"]);
  check(new Set(turns).size === turns.length, "a turn has one span");
  check(
    accepted.every((id) => begun.has(id)),
    "what counts as a turn was begun",
  );
  for (const spanId of delivered) check(byId.has(spanId), "what is durable is there");
  check(
    accepted.length === database.turns.size && accepted.every((id) => database.turns.has(id)),
    "D1 has each turn that was accepted, and no other",
  );
}
