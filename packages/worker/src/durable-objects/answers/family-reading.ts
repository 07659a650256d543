/**
 * Asks the other sessions of the family about work that belongs to an answer: children, their children, and a parent that ended the
 * session. Bounded in sessions, depth and time; no session is asked twice.
 */
import type { WhyOther, WhySpan } from "@valet/shared/answers/why/spans";
import type { ApiProblemName } from "@valet/shared/protocol/api-problems";
import type { SessionReading } from "@valet/shared/protocol/why";
import type { Result } from "../core/result.ts";
import { type FamilySpans, type FamilySpansRequest, MAX_ASKED_TRACES } from "./family-spans.ts";
import { linked } from "./job-spans.ts";

export interface FamilyReadingOptions {
  readonly sessionId: () => string;
  readonly parentId: () => string | undefined;
  /** Returns the session's newest children, the newest last. */
  readonly newestChildren: (limit: number) => readonly string[];
  readonly ask: (sessionId: string, request: FamilySpansRequest) => Promise<Result<FamilySpans>>;
}

/** How many sessions are asked, and how deep below the session. The family's own limit of depth is 2. */
export const MAX_SESSIONS = 12;
const MAX_DEPTH = 3;
/** How many children that no span names are asked, the newest: as many as may be open. */
const MAX_UNNAMED = 5;
/** How long all of them have together, in ms: the whole answer takes less than a second. */
export const FAMILY_MS = 600;

/** What the family has told. */
export interface FamilyAnswer {
  readonly others: readonly WhyOther[];
  readonly spans: readonly WhySpan[];
}

export class FamilyReading {
  readonly #options: FamilyReadingOptions;

  constructor(options: FamilyReadingOptions) {
    this.#options = options;
  }

  /** @param own the spans of the job, and of what it waited for */
  async read(own: readonly WhySpan[], window: Pick<FamilySpansRequest, "sinceMs" | "untilMs">): Promise<FamilyAnswer> {
    const { sessionId, parentId, newestChildren } = this.#options;
    const others: WhyOther[] = [];
    const spans: WhySpan[] = [];
    const asked = new Set([sessionId()]);
    const late = after(FAMILY_MS);
    const tell = async (id: string, isNamed: boolean, request: FamilySpansRequest): Promise<WhySpan[]> => {
      const answer = await this.#ask(id, request, late.promise);
      const told = typeof answer === "string" ? undefined : answer;
      // Of a child that the job does not name, nothing is missed: nothing says that it worked for the job.
      if (told === undefined && !isNamed) return [];
      const reading = typeof answer === "string" ? answer : "read";
      others.push({ sessionId: id, reading, jobs: told?.jobs ?? [], lacksJobs: told?.lacksJobs });
      const found = (told?.spans ?? []).filter((span) => span.sessionId === id);
      for (const span of found) spans.push(span);
      return found;
    };
    try {
      const parent = parentId();
      const ends = endsWithParent(own);
      const unnamed = own.some(isCommand) ? newestChildren(MAX_UNNAMED).toReversed() : [];
      let named = childrenIn(own);
      let request = { ...window, traceIds: tracesOf(own) };
      const asks: Promise<unknown>[] = [];
      if (parent !== undefined && ends.length > 0) {
        asked.add(parent);
        asks.push(tell(parent, false, { traceIds: ends, sinceMs: 0, untilMs: 0 }));
      }
      for (let depth = 0, more = unnamed; depth < MAX_DEPTH; depth++, more = []) {
        const next = [...new Set([...named, ...more])].filter((id) => !asked.has(id));
        const now = next.slice(0, Math.max(0, MAX_SESSIONS - asked.size));
        for (const id of next.slice(now.length)) {
          asked.add(id);
          if (named.has(id)) others.push({ sessionId: id, reading: "left_out", jobs: [] });
        }
        for (const id of now) asked.add(id);
        const known = named;
        const found = (await Promise.all(now.map((id) => tell(id, known.has(id), request)))).flat();
        named = childrenIn(found);
        request = { ...window, traceIds: tracesOf(found) };
        if (named.size === 0) break;
      }
      await Promise.all(asks);
    } finally {
      late.stop();
    }
    return { others, spans };
  }

  async #ask(id: string, request: FamilySpansRequest, late: Promise<"slow">): Promise<FamilySpans | SessionReading> {
    const asked = this.#options.ask(id, request).then(readingOf, failureReading);
    return Promise.race([asked, late]);
  }
}

function after(ms: number): { promise: Promise<"slow">; stop: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const promise = new Promise<"slow">((resolve) => {
    timer = setTimeout(() => resolve("slow"), ms);
  });
  return { promise, stop: () => clearTimeout(timer) };
}

function readingOf(result: Result<FamilySpans>): FamilySpans | SessionReading {
  if (result.ok) return result.value;
  const is = (name: ApiProblemName) => result.problem.type === `urn:valet:problem:${name}`;
  if (is("session-deleted")) return "deleted";
  return is("session-not-found") ? "gone" : "failed";
}

/** An object of an older version has no such call. */
function failureReading(error: unknown): SessionReading {
  return error instanceof TypeError && /does not implement/.test(error.message) ? "older" : "failed";
}

/** Returns the children that spans name: those that were spawned, and those that report. */
function childrenIn(spans: readonly WhySpan[]): Set<string> {
  const ids = spans.flatMap(({ name, attributes }) => {
    const id = attributes["valet.child_session.id"];
    return typeof id === "string" && (name === "valet.child_session.spawn" || name === "valet.prompt") ? [id] : [];
  });
  return new Set(ids);
}

/** What may send work to a child without a span that names it. */
function isCommand({ name }: WhySpan): boolean {
  return name.startsWith("execute_tool ") || name.startsWith("valet.workflow.step ");
}

/** Returns the traces of spans, and of the reports that they are about. */
function tracesOf(spans: readonly WhySpan[]): string[] {
  const reports = linked(
    spans.filter(({ name }) => name === "valet.prompt"),
    ["caused_by"],
  );
  return [...new Set([...spans.map(({ traceId }) => traceId), ...reports])].slice(0, MAX_ASKED_TRACES);
}

/** Returns the traces, of another session, of what the session was terminated for. */
function endsWithParent(spans: readonly WhySpan[]): string[] {
  const known = new Set(spans.map(({ traceId }) => traceId));
  const ends = spans.filter(({ name }) => name === "valet.session.terminate");
  return linked(ends, ["caused_by"]).filter((traceId) => !known.has(traceId));
}
