/** Compares a stream that breaks, with a history that arrives at any time, with a stream that never broke. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { loadRecording, type Recording } from "../../test/recordings.ts";
import type { Fact } from "../agent/facts.ts";
import { CatchUp } from "./catch-up.ts";
import type { HistoryMessage } from "./client.ts";
import { type AgentEvent, type AskedEvent, type Part, readEvent, type SessionStatus } from "./events.ts";
import { answeredRequests, eventsOf, type PastQuery, readPast } from "./history.ts";
import { TurnReducer } from "./turn-reducer.ts";

const NO_CONTEXT = { traceId: "", spanId: "", traceFlags: 0, traceState: "", isRemote: false };

interface Course {
  readonly rootId: string;
  readonly events: readonly { readonly event: AgentEvent; readonly readMs: number }[];
  reducer(): TurnReducer;
}

function courseOf({ startedAt, events, calls }: Recording): Course {
  const prompt = calls.find(({ path }) => path.endsWith("/prompt_async"));
  if (prompt === undefined) throw new Error("no prompt");
  const rootId = prompt.path.split("/")[2] as string;
  return {
    rootId,
    events: events.flatMap(({ at, event }) => {
      const read = readEvent(event);
      return read === undefined || at < prompt.at ? [] : [{ event: read, readMs: startedAt + at }];
    }),
    reducer: () =>
      new TurnReducer({
        attemptId: "att_1",
        sessionId: rootId,
        userMessageId: prompt.body?.messageID as string,
        startMs: startedAt + prompt.at,
        isOthers: () => false,
      }),
  };
}

/** Returns OpenCode's list of statuses after these events. */
function statusesOf(events: readonly AgentEvent[]): ReadonlyMap<string, SessionStatus> {
  const told = events.flatMap(({ type, properties }) => (type === "session.status" ? [properties] : []));
  return new Map(told.map(({ sessionID, status }) => [sessionID, status]));
}

/** Returns OpenCode's pending requests after these events. */
function pendingOf(events: readonly AgentEvent[]): AskedEvent[] {
  const answered = answeredRequests(events);
  const asked = events.filter((event) => event.type === "permission.asked" || event.type === "question.asked");
  return asked.filter(({ properties }) => !answered.has(properties.id)).map((event) => ({ ...event, id: undefined }));
}

/** Returns OpenCode's history of a session after these events. */
function historyOf(events: readonly AgentEvent[], sessionId: string): HistoryMessage[] {
  const messages = new Map<string, { info: HistoryMessage["info"]; parts: Map<string, Part> }>();
  for (const { type, properties } of events) {
    if (type === "message.updated") {
      const { info } = properties;
      messages.set(info.id, { parts: messages.get(info.id)?.parts ?? new Map(), info });
    } else if (type === "message.part.updated") {
      messages.get(properties.part.messageID)?.parts.set(properties.part.id, properties.part);
    }
  }
  const own = [...messages.values()].filter(({ info }) => info.sessionID === sessionId);
  return own.map(({ info, parts }) => ({ info, parts: [...parts.values()] }));
}

/** Returns a fact without its times, which the history does not contain. */
function timeless(fact: Fact) {
  if (fact.type === "heard") return [];
  const attributes = { ...fact.attributes };
  delete attributes["gen_ai.response.time_to_first_chunk"];
  const { startMs: _, endMs: __, ...rest } = { startMs: 0, endMs: 0, ...fact };
  return [{ ...rest, attributes }];
}

const comparable = (facts: readonly Fact[]) =>
  facts.flatMap(timeless).toSorted((a, b) => `${a.spanId}${a.type}`.localeCompare(`${b.spanId}${b.type}`));

function unbroken({ reducer, events }: Course): readonly Fact[] {
  const own = reducer();
  return events.flatMap(({ event, readMs }) => own.apply(event, readMs));
}

/** A break of the stream: its begin and end, as indices of events. */
interface Break {
  readonly lostFrom: number;
  readonly backAt: number;
}

/** The number of events until OpenCode handles a call, and until its answer arrives; and whether the call fails. */
interface Delay {
  readonly taken: number;
  readonly answered: number;
  readonly fails: boolean;
}

/** Plays a course to a reducer with breaks of the stream, and delivers each event with a lag of some others. */
async function broken(
  course: Course,
  { breaks, delays, lag, maxHeld }: { breaks: Break[]; delays: Delay[]; lag: number; maxHeld?: number },
): Promise<readonly Fact[]> {
  const { events, rootId } = course;
  const reducer = course.reducer();
  const facts: Fact[] = [];
  const calls = new Set<{ take: number; answer: number; fails: boolean; run: () => void; finish: () => void }>();
  let now = 0;
  let count = 0;
  let recovering = 0;
  const call = <T>(look: (happened: readonly AgentEvent[]) => T): Promise<T> => {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const { taken, answered, fails } = delays[count++] ?? { taken: 0, answered: 0, fails: false };
    let seen: T;
    calls.add({
      take: now + taken,
      answer: now + taken + answered,
      fails,
      run: () => {
        seen = look(events.slice(0, now).map(({ event }) => event));
      },
      finish: () => (fails ? reject(new Error("no answer")) : resolve(seen)),
    });
    return promise;
  };
  const client: PastQuery["client"] = {
    statuses: () => call(statusesOf),
    messages: (sessionId, _context, { isFirst }) =>
      call((happened) => {
        const history = historyOf(happened, sessionId);
        return history.slice(Math.max(0, history.findLastIndex(isFirst)));
      }),
    pending: () => call(pendingOf),
  };
  const catchUp = new CatchUp({
    read: async () => {
      const past = await readPast({
        client,
        context: NO_CONTEXT,
        sessionId: rootId,
        turn: reducer,
        hasBegun: reducer.hasBegun,
        knownMessages: (id) => reducer.messageCount(id),
        isKnown: (child) => reducer.isOver(child),
        openRequests: () => reducer.openRequests,
      });
      return eventsOf(past, (session) => reducer.isBusy(session));
    },
    apply: (event, readMs) => void facts.push(...reducer.apply(event, readMs)),
    isOver: () => reducer.hasEnded,
    retryMs: 0,
    ...(maxHeld !== undefined && { maxHeld }),
  });
  const settle = async () => {
    for (let again = true; again; ) {
      again = false;
      let hasFailed = false;
      for (const each of calls) {
        if (each.take === now) each.run();
        if (each.answer > now) continue;
        calls.delete(each);
        each.finish();
        again = true;
        hasFailed ||= each.fails;
      }
      // Lets the answer's effects and the wait after a failure pass, after which the history is read again or given up.
      while (hasFailed && calls.size === 0 && recovering > 0) await new Promise((resolve) => setTimeout(resolve, 0));
      for (let turn = 0; again && turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const isLost = (index: number) => breaks.some(({ lostFrom, backAt }) => lostFrom <= index && index < backAt);
  for (; now < events.length + lag || calls.size > 0; now++) {
    for (const { backAt } of breaks) {
      if (backAt !== now) continue;
      recovering++;
      const done = () => void recovering--;
      catchUp.recover(20).then(done, done);
    }
    await settle();
    const heard = now - lag;
    const { event, readMs } = events[heard] ?? {};
    // Events that were in flight when the stream broke are lost, too.
    const isOnTheWay = breaks.some(({ lostFrom, backAt }) => heard < backAt && lostFrom <= now);
    if (event !== undefined && readMs !== undefined && !isLost(heard) && !isOnTheWay) catchUp.hear(event, readMs);
  }
  await settle();
  expect(reducer.hasEnded).toBe(true);
  return facts;
}

/** Breaks at any positions of a course. @param loses whether events are lost */
const breakOf = (count: number, loses: boolean): fc.Arbitrary<Break> =>
  fc.tuple(fc.nat(count - 1), fc.nat(count - 1)).map(([one, other]) => ({
    lostFrom: loses ? Math.min(one, other) : one,
    backAt: loses ? Math.max(one, other) : one,
  }));

const delay: fc.Arbitrary<Delay> = fc.record({
  taken: fc.nat(12),
  answered: fc.nat(12),
  fails: fc.nat(9).map((dice) => dice === 0),
});
const circumstances = { delays: fc.array(delay, { maxLength: 20 }), lag: fc.nat(5) };

const COMPLETE = ["simple", "subagent", "parallel-tools", "auto-compaction"];

test.each(COMPLETE)(
  "%s: the facts are the same wherever the stream breaks and whenever the history arrives",
  async (name) => {
    const course = courseOf(loadRecording(name));
    const expected = comparable(unbroken(course));
    const breaks = fc.array(breakOf(course.events.length, true), { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(fc.record({ breaks, ...circumstances }), async (how) => {
        expect(comparable(await broken(course, how))).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  },
);

/** Facts of waits. A wait that began and ended while the stream was broken is unknown. */
const isWait = (fact: Fact, waits: ReadonlySet<string>) => waits.has(fact.spanId);

test.each(["question"])(
  "%s: wherever the stream breaks, the wait lasts until the reply, and all other facts are the same",
  async (name) => {
    const course = courseOf(loadRecording(name));
    const all = unbroken(course);
    const waits = new Set(
      all.flatMap((fact) => (fact.type === "begin" && fact.name.endsWith(".wait") ? fact.spanId : [])),
    );
    const others = (facts: readonly Fact[]) => comparable(facts.filter((fact) => !isWait(fact, waits)));
    const breaks = fc.array(breakOf(course.events.length, true), { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(fc.record({ breaks, ...circumstances }), async (how) => {
        const facts = await broken(course, how);
        expect(others(facts)).toEqual(others(all));
        const told = facts.filter((fact) => isWait(fact, waits)).map(({ type }) => type);
        expect([[], ["begin", "end"]]).toContainEqual(told);
      }),
      { numRuns: 150 },
    );
  },
);

test.each([...COMPLETE, "retry", "cut-stream", "error", "question"])(
  "%s: the history changes nothing if no event was lost",
  async (name) => {
    const course = courseOf(loadRecording(name));
    const expected = comparable(unbroken(course));
    await fc.assert(
      fc.asyncProperty(
        fc.record({ breaks: fc.tuple(breakOf(course.events.length, false)), ...circumstances }),
        async (how) => {
          expect(comparable(await broken(course, { ...how, lag: 0 }))).toEqual(expected);
        },
      ),
      { numRuns: 150 },
    );
  },
);

test("if too many events are held back, the history is read again", async () => {
  const course = courseOf(loadRecording("simple"));
  const expected = comparable(unbroken(course));
  await fc.assert(
    fc.asyncProperty(
      fc.record({ breaks: fc.tuple(breakOf(course.events.length, true)), ...circumstances, maxHeld: fc.nat(10_000) }),
      async (how) => {
        expect(comparable(await broken(course, how))).toEqual(expected);
      },
    ),
    { numRuns: 150 },
  );
});

test("if the history cannot be read, the events held back are applied", async () => {
  const told: string[] = [];
  const catchUp = new CatchUp({
    read: () => Promise.reject(new Error("no answer")),
    apply: ({ type }) => void told.push(type),
    isOver: () => false,
    retryMs: 0,
  });
  const done = catchUp.recover(3);
  catchUp.hear({ type: "session.error", properties: {} }, 0);
  expect(told).toEqual([]);
  await expect(done).rejects.toThrow("no answer");
  expect(told).toEqual(["session.error"]);
  catchUp.hear({ type: "server.connected", properties: {} }, 0);
  expect(told).toEqual(["session.error", "server.connected"]);
});
