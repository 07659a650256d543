/** Loads recordings of real event streams, and plays them to the reducer. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { BeginFact, EndFact, Fact, HeardFact } from "../src/agent/facts.ts";
import { type AgentEvent, readEvent } from "../src/opencode/events.ts";
import { TurnReducer } from "../src/opencode/turn-reducer.ts";

const folder = fileURLToPath(new URL("../recordings/", import.meta.url));

export interface RecordedCall {
  at: number;
  method: string;
  path: string;
  body?: { messageID?: string; parts?: { text?: string }[]; reply?: string };
  answeredAt: number;
}

export interface Recording {
  readonly name: string;
  /** Epoch ms of `at` 0. */
  readonly startedAt: number;
  readonly events: readonly { readonly at: number; readonly event: Record<string, unknown> }[];
  readonly calls: readonly RecordedCall[];
}

function readLines(file: string): unknown[] {
  const lines = readFileSync(`${folder}${file}`, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as unknown);
}

export function loadRecording(name: string): Recording {
  const [head, ...calls] = readLines(`${name}.calls.jsonl`);
  return {
    name,
    startedAt: (head as { startedAt: number }).startedAt,
    events: readLines(`${name}.jsonl`) as Recording["events"],
    calls: calls as RecordedCall[],
  };
}

export const recordingNames = readdirSync(folder)
  .filter((file) => file.endsWith(".jsonl") && !file.endsWith(".calls.jsonl"))
  .map((file) => file.slice(0, -".jsonl".length));

const sessionInPath = (path: string) => /^\/session\/([^/]+)\//.exec(path)?.[1] as string;

/** One turn of a recording, after the reducer has applied it. */
export interface RecordedTurn {
  readonly reducer: TurnReducer;
  readonly startMs: number;
  /** Without {@link heard}. */
  readonly facts: Fact[];
  /** What was heard while spans were open. */
  readonly heard: HeardFact[];
  /** When the event that ended the turn was read. */
  endReadMs: number | undefined;
}

/**
 * Plays a recording, with its aborts, to one reducer per prompt. Each reducer receives all events. Times are milliseconds since
 * the recording began.
 */
export function replay(
  { startedAt, events, calls }: Recording,
  transform: (events: Recording["events"]) => Recording["events"] = (same) => same,
): RecordedTurn[] {
  const prompts = calls.filter(({ path }) => path.endsWith("/prompt_async"));
  const minted = prompts.map(({ body }) => body?.messageID as string);
  type Step = { at: number; run(): void };
  const turns: RecordedTurn[] = [];
  const steps: Step[] = [];
  for (const [index, { at, path, body }] of prompts.entries()) {
    const own = body?.messageID as string;
    const reducer = new TurnReducer({
      attemptId: `att_${index + 1}`,
      sessionId: sessionInPath(path),
      userMessageId: own,
      startMs: startedAt + at,
      isOthers: (id) => id !== own && minted.includes(id),
    });
    const turn: RecordedTurn = { reducer, startMs: at, facts: [], heard: [], endReadMs: undefined };
    turns.push(turn);
    const add = (readMs: number, facts: Fact[]) => {
      for (const fact of facts) {
        if (fact.type === "heard") turn.heard.push(fact);
        else turn.facts.push(relative(fact, startedAt));
      }
      if (reducer.hasEnded) turn.endReadMs ??= readMs;
    };
    for (const recorded of transform(events)) {
      const event = readEvent(recorded.event);
      if (event === undefined || recorded.at < at) continue;
      steps.push({ at: recorded.at, run: () => add(recorded.at, apply(reducer, event, startedAt + recorded.at)) });
    }
    for (const call of calls) {
      if (!call.path.endsWith("/abort") || sessionInPath(call.path) !== sessionInPath(path) || call.at < at) continue;
      if (prompts.indexOf(call) > index || isPromptedBefore(prompts, call, index)) continue;
      steps.push({ at: call.at, run: () => reducer.cut({ outcome: "aborted", errorType: "user_abort" }) });
      steps.push({
        at: call.answeredAt,
        run: () => add(call.answeredAt, reducer.abortAnswered(startedAt + call.answeredAt)),
      });
    }
  }
  for (const { run } of steps.toSorted((a, b) => a.at - b.at)) run();
  return turns;
}

function apply(reducer: TurnReducer, event: AgentEvent, readMs: number): Fact[] {
  return reducer.apply(event, readMs);
}

/** An abort that was sent together with the next prompt belongs to the previous turn. */
function isPromptedBefore(prompts: readonly RecordedCall[], abort: RecordedCall, index: number): boolean {
  return index > 0 && (prompts[index] as RecordedCall).at >= abort.at;
}

/**
 * Returns the events as OpenCode sends them if it is slow: it serialises a message when the event's batch is sent, so the first
 * event of a message may already contain what later events announce. Events keep their order and ids, and parts are unchanged.
 * @param batches the number of events in each batch, and of later events that have happened when it is sent
 */
export function serialisedLate(
  events: Recording["events"],
  batches: Iterator<readonly [size: number, lateBy: number]>,
): Recording["events"] {
  const late: { at: number; event: Record<string, unknown> }[] = [];
  let knownTo = 0;
  while (late.length < events.length) {
    const [size, lateBy] = batches.next().value as readonly [number, number];
    const end = Math.min(events.length, late.length + Math.max(1, size));
    // No batch reflects fewer events than the previous one.
    knownTo = Math.max(knownTo, Math.min(events.length, end + lateBy));
    for (const recorded of events.slice(late.length, end)) {
      const message = messageOf(recorded.event);
      const newest = events.slice(0, knownTo).findLast(({ event }) => messageOf(event) === message);
      const { id } = recorded.event;
      late.push(
        message === undefined || newest === undefined ? recorded : { ...recorded, event: { ...newest.event, id } },
      );
    }
  }
  return late;
}

function messageOf(event: Record<string, unknown>): string | undefined {
  const read = readEvent(event);
  return read?.type === "message.updated" ? read.properties.info.id : undefined;
}

/** Returns a fact with its time in milliseconds since the recording began. */
export function relative(fact: Fact, startedAt: number): Fact {
  switch (fact.type) {
    case "begin":
      return { ...fact, startMs: fact.startMs - startedAt };
    case "end":
      return { ...fact, endMs: fact.endMs - startedAt };
    case "heard":
      return { ...fact, atMs: fact.atMs - startedAt };
  }
}

export interface FactSpan {
  readonly begin: BeginFact;
  readonly end: EndFact | undefined;
}

export function spansOf(facts: readonly Fact[]): FactSpan[] {
  const ends = new Map(facts.flatMap((fact) => (fact.type === "end" ? [[fact.spanId, fact] as const] : [])));
  return facts.flatMap((fact) => (fact.type === "begin" ? [{ begin: fact, end: ends.get(fact.spanId) }] : []));
}

/** Returns the spans as an indented tree, children by their start, with important attributes. */
export function treeOf(facts: readonly Fact[]): string {
  const spans = spansOf(facts);
  const lines: string[] = [];
  const draw = (parentId: string | undefined, indent: string) => {
    const children = spans.filter(({ begin }) => begin.parentId === parentId);
    for (const span of children.toSorted((a, b) => a.begin.startMs - b.begin.startMs)) {
      lines.push(indent + describe(span));
      draw(span.begin.spanId, `${indent}  `);
    }
  };
  draw(undefined, "");
  return lines.join("\n");
}

function describe({ begin, end }: FactSpan): string {
  const { outcome, errorType } = end ?? {};
  const attributes = { ...begin.attributes, ...end?.attributes };
  const input = attributes["gen_ai.usage.input_tokens"];
  const details = [
    outcome === "ok" ? undefined : `${outcome ?? "open"} ${errorType ?? ""}`.trim(),
    input === undefined ? undefined : `${input}→${attributes["gen_ai.usage.output_tokens"]} tokens`,
    attributes["process.exit.code"] === undefined ? undefined : `exit ${attributes["process.exit.code"]}`,
    attributes["valet.permission.reply"],
    attributes["valet.compaction.auto"] === true ? "auto" : undefined,
  ].filter((detail) => detail !== undefined);
  const text = details.length === 0 ? "" : ` (${details.join(", ")})`;
  return `${begin.name} ${begin.startMs}–${end?.endMs ?? "?"}${text}`;
}
