import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inRooms, type Rooms } from "../../../test/rooms.ts";
import { outcomeOf } from "../../../test/sandbox.ts";
import { schedule } from "../../../test/schedule.ts";
import { INTERVALS } from "../../config.ts";

import type { SessionPatch } from "../core/session-state.ts";

import type { ChannelMemory } from "./scheduler.ts";

const { acceptMs, collectMaxMs } = INTERVALS;

/** The messages of each dispatch that was sent, in order. */
const sentIds = (rooms: Rooms) => rooms.sent("prompt").map(({ dispatch }) => dispatch.messageIds);

describe("what is dispatched", () => {
  test("is the first job of each channel, in order of acceptance", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      for (const [id, channel] of Object.entries({ a: "x", b: "y", c: "x", d: "z" })) rooms.message(id, { channel });
      pump();
      expect(sentIds(rooms)).toEqual([["a"], ["b"], ["d"]]);
      expect(rooms.job("c").status).toBe("queued");
    }));

  test("is the next job of a channel only after its attempt has ended", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.message("a");
      rooms.message("b");
      pump();
      pump();
      expect(sentIds(rooms)).toEqual([["a"]]);
      const attemptId = rooms.job("a").attemptId as string;
      rooms.run(() => rooms.queue.accepted(attemptId));
      pump();
      expect(sentIds(rooms)).toEqual([["a"]]);
      rooms.run(() => rooms.queue.end(attemptId, "ok", undefined, null));
      pump();
      expect(sentIds(rooms)).toEqual([["a"], ["b"]]);
    }));

  test("is a steering message before older ones", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.message("a");
      rooms.message("b", { mode: "steer" });
      pump();
      expect(sentIds(rooms)).toEqual([["b"]]);
    }));

  test("is a collected batch, once it has closed", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      const debounced = () => ({ mode: "collect", notBeforeMs: rooms.nowMs + 1000 }) as const;
      rooms.message("a", debounced());
      rooms.pass(500);
      rooms.message("b", debounced());
      pump();
      rooms.pass(999);
      expect(rooms.frames).toEqual([]);
      rooms.pass(1);
      expect(sentIds(rooms)).toEqual([["a", "b"]]);
      expect(rooms.sent("prompt")[0]?.dispatch).toMatchObject({
        content: "do a\n\ndo b",
        queue: { mode: "collect", reason: "collect_debounce", waitMs: 1500, collectBufferMs: 1500 },
      });
    }));

  test.each<[string, SessionPatch]>([
    ["the session is not running", { state: "recovering" }],
    ["no runner is there", { link: { state: "grace", instances: [], ready: true } }],
    ["its runner is not ready", { link: { state: "connected", connectionId: "con_1", instances: [], ready: false } }],
  ])("is nothing while %s", (_why, patch) =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.change(patch);
      rooms.message("a");
      pump();
      expect([rooms.frames, rooms.job("a").status]).toEqual([[], "queued"]);
    }),
  );

  test("is nothing after a rollback", () =>
    inRooms((rooms) => {
      const { scheduler } = schedule(rooms);
      rooms.message("a");
      const work = () =>
        rooms.run(() => {
          scheduler.pump();
          throw new Error("no");
        });
      expect(work).toThrow("no");
      expect([rooms.frames, rooms.job("a").status, rooms.jobs.inFlight()]).toEqual([[], "queued", []]);
    }));
});

describe("the frame", () => {
  test("of a message has the settings of author, session and channel, and the dispatch's context", () =>
    inRooms((rooms) => {
      const contextOf: ChannelMemory["contextOf"] = (channel, generation) => ({
        opencodeSessionId: `oc ${channel} ${generation}`,
        continuationContext: "what went before",
      });
      const { pump } = schedule(rooms, { contextOf });
      rooms.change({ model: "valet/a", models: ["valet/b"], generation: 3 });
      const author = { id: "usr_1", name: "Ada" };
      rooms.message("a", {
        channel: "x",
        body: { content: "go", attachments: [], author, threadId: "thr_1", replyChannel: "email" },
      });
      pump();
      const [span] = rooms.spans("valet.prompt.dispatch");
      expect(rooms.sent("prompt")).toEqual([
        {
          type: "prompt",
          dispatch: {
            attemptId: rooms.job("a").attemptId,
            attempt: 1,
            channel: "x",
            messageId: "a",
            messageIds: ["a"],
            content: "go",
            attachments: [],
            author,
            threadId: "thr_1",
            replyChannel: "email",
            model: "valet/a",
            models: ["valet/b"],
            refuseUnknownModels: true,
            opencodeSessionId: "oc x 3",
            continuationContext: "what went before",
            queue: { waitMs: 0, reason: "immediate", mode: "followup" },
            traceparent: `00-${span?.traceId}-${span?.spanId}-03`,
          },
        },
      ]);
      expect(rooms.attempt(rooms.job("a").attemptId as string)).toMatchObject({ generation: 3, state: "dispatched" });
    }));

  test("of a message that names models has those", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.change({ model: "valet/a", models: ["valet/b"] });
      rooms.message("a", { body: { content: "go", attachments: [], model: "valet/c", models: [] } });
      pump();
      expect(rooms.sent("prompt")[0]?.dispatch).toMatchObject({ model: "valet/c", models: [] });
    }));

  test("of a workflow has its steps and the first one to run", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      const steps = [
        { name: "build", run: "make" },
        { name: "look", prompt: "look at it" },
      ];
      rooms.workflow("w", { steps, onFailure: "continue" });
      rooms.run(() => rooms.workflows.record("w", { index: 0, status: "done", outcome: "ok" }));
      pump();
      expect(rooms.sent("workflow-execute")).toMatchObject([
        { dispatch: { executionId: "w", name: "check", steps, onFailure: "continue", firstStep: 1, attempt: 1 } },
      ]);
    }));

  test("has an acceptance timeout", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.message("a");
      pump();
      const attemptId = rooms.job("a").attemptId as string;
      expect(rooms.timers.dueMs("accept", attemptId)).toBe(rooms.nowMs + acceptMs);
    }));

  test("that cannot be sent ends its attempt; after three of them the message fails", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.linkFails = true;
      rooms.message("a");
      pump();
      expect(rooms.recorded("attempt-ended")).toMatchObject([{ end: { outcome: "error", errorType: "send_failed" } }]);
      expect(rooms.job("a")).toMatchObject({ status: "queued", unaccepted: 1, notBeforeMs: rooms.nowMs });
      const [span] = rooms.spans("valet.prompt.dispatch");
      expect(outcomeOf(span)).toEqual(["error", "send_failed"]);
      expect(span?.attributes["valet.dispatch.sent"]).toBe(false);
      pump();
      pump();
      expect(rooms.job("a")).toMatchObject({ status: "done", outcome: "error", errorType: "send_failed", attempts: 3 });
    }));

  test("that cannot be sent does not affect other channels", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      const { send } = rooms.link;
      rooms.link.send = (frame) => frame.type === "prompt" && frame.dispatch.channel === "y" && send(frame);
      rooms.message("a", { channel: "x" });
      rooms.message("b", { channel: "y" });
      pump();
      expect([rooms.job("a").status, rooms.job("b").status, sentIds(rooms)]).toEqual(["queued", "dispatched", [["b"]]]);
    }));
});

type Step =
  | { readonly do: "add"; readonly channel: string; readonly mode: "followup" | "steer" | "collect" }
  | { readonly do: "accept" | "end" | "lose"; readonly nth: number }
  | { readonly do: "pass"; readonly ms: number }
  | { readonly do: "link"; readonly fails: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("add" as const),
    channel: fc.constantFrom("x", "y"),
    mode: fc.constantFrom("followup", "steer", "collect"),
  }),
  fc.record({ do: fc.constantFrom("accept", "end", "lose"), nth: fc.nat(3) }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.nat(2 * acceptMs) }),
  fc.record({ do: fc.constant("link" as const), fails: fc.boolean() }),
);

test("whatever happens, a channel has one attempt at a time, no attempt is sent twice, and every accepted job ends", () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), (steps) =>
      inRooms((rooms) => {
        const { pump } = schedule(rooms);
        const apply = (next: Step) => {
          const attempt = "nth" in next ? rooms.jobs.inFlight()[next.nth] : undefined;
          if (next.do === "add") rooms.message(`m${rooms.jobs.nextSeq()}`, next);
          else if (next.do === "pass") rooms.pass(next.ms);
          else if (next.do === "link") rooms.linkFails = next.fails;
          else if (attempt === undefined) return;
          else if (next.do === "accept") rooms.run(() => rooms.queue.accepted(attempt.id));
          else if (next.do === "end") rooms.run(() => rooms.queue.end(attempt.id, "ok", undefined, null));
          else rooms.run(() => rooms.queue.lose(attempt.id, false, rooms.nowMs));
        };
        const check = () => {
          const channels = rooms.jobs.inFlight().map(({ channel }) => channel);
          expect(new Set(channels).size).toBe(channels.length);
          const attempts = rooms.sent("prompt").map(({ dispatch }) => dispatch.attemptId);
          expect(new Set(attempts).size).toBe(attempts.length);
        };
        for (const next of steps) {
          apply(next);
          pump();
          check();
        }
        rooms.linkFails = false;
        // Each job has three attempts that are not taken, and two that are lost.
        for (
          let round = 0;
          round < 6 * steps.length + 1 && rooms.jobs.queuedCount() + rooms.jobs.inFlight().length > 0;
        ) {
          apply({ do: "end", nth: 0 });
          pump();
          rooms.pass(collectMaxMs);
          round++;
        }
        expect([rooms.jobs.queuedCount(), rooms.jobs.inFlight()]).toEqual([0, []]);
      }),
    ),
    { numRuns: 25 },
  ));
