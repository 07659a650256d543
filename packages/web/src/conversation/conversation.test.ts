import { partDelta } from "@valet/shared/protocol/part-delta-codec";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EMPTY_CONVERSATION, type Message, type Part, type Turn, withAnswers, withEvents } from "./conversation.ts";
import { conversationRows } from "./rows.ts";

function message(id: string, more: Partial<Message> = {}): Message {
  return {
    id,
    status: "accepted",
    channel: "main",
    queueMode: "followup",
    source: "user",
    content: `content of ${id}`,
    attachments: [],
    attempts: 1,
    acceptedAt: "2026-11-27T05:00:00.000Z",
    parts: [],
    ...more,
  };
}

const text = (id: string, content: string): Part => ({ type: "text", id, text: content });
const partsOf = (conversation: typeof EMPTY_CONVERSATION, id: string) => conversation.messages.get(id)?.parts;
const turn = (more: Partial<Turn>): Turn =>
  ({ attempt_id: "att_1", message_ids: ["m1"], outcome: "ok", ended_at: "2026-11-27T05:01:00.000Z", ...more }) as Turn;
const NO_CHOICES = { folds: new Map<string, boolean>(), permissions: [], questions: [] };

describe("an answer that streams", () => {
  test("grows by parts and deltas to what was written, however it is cut", () => {
    const states = fc.array(fc.string({ minLength: 1, maxLength: 900 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(states, (pieces) => {
        let conversation = withAnswers(EMPTY_CONVERSATION, { messages: [message("m1")] });
        let before: Part | undefined;
        let whole = "";
        for (const piece of pieces) {
          whole += piece;
          const part = text("p1", whole);
          const delta = partDelta(before, part);
          const event =
            delta === undefined
              ? { type: "part" as const, messageId: "m1", part }
              : { type: "part-delta" as const, messageId: "m1", delta };
          const next = withEvents(conversation, [event]);
          expect(next.missed).toEqual([]);
          conversation = next.conversation;
          before = part;
        }
        expect(partsOf(conversation, "m1")).toEqual([text("p1", whole)]);
      }),
    );
  });

  test("of which a delta was lost names its message, and keeps what it has", () => {
    const known = withAnswers(EMPTY_CONVERSATION, { messages: [message("m1", { parts: [text("p1", "abc")] })] });
    const delta = { partId: "p1", field: "text" as const, from: 9, text: "j" };
    const { conversation, missed } = withEvents(known, [{ type: "part-delta", messageId: "m1", delta }]);
    expect(missed).toEqual(["m1"]);
    expect(partsOf(conversation, "m1")).toEqual([text("p1", "abc")]);
  });

  test("of a message that is not known yet is missed, too", () => {
    const event = { type: "part" as const, messageId: "m9", part: text("p1", "abc") };
    expect(withEvents(EMPTY_CONVERSATION, [event]).missed).toEqual(["m9"]);
  });

  test("is not taken back by an answer of the API that is older, and is replaced by the final one", () => {
    let conversation = withAnswers(EMPTY_CONVERSATION, {
      messages: [message("m1", { parts: [text("p1", "abcdef")] })],
    });
    conversation = withAnswers(conversation, { messages: [message("m1", { parts: [text("p1", "abc")] })] });
    expect(partsOf(conversation, "m1")).toEqual([text("p1", "abcdef")]);
    const done = message("m1", { status: "done", outcome: "ok", parts: [text("p1", "other")] });
    conversation = withEvents(conversation, [{ type: "message", message: done }]).conversation;
    conversation = withAnswers(conversation, { messages: [message("m1", { parts: [text("p1", "abcdefghi")] })] });
    expect(partsOf(conversation, "m1")).toEqual([text("p1", "other")]);
  });

  test("begins again with another attempt", () => {
    const known = withAnswers(EMPTY_CONVERSATION, { messages: [message("m1", { parts: [text("p1", "abc")] })] });
    const again = { type: "message" as const, message: message("m1", { attempts: 2 }) };
    expect(partsOf(withEvents(known, [again]).conversation, "m1")).toEqual([]);
  });
});

test("messages stand in the order of their acceptance, whichever page they came on, and each once", () => {
  const at = (minute: number) => ({ acceptedAt: `2026-11-27T05:0${minute}:00.000Z` });
  let conversation = withAnswers(EMPTY_CONVERSATION, { messages: [message("m3", at(3)), message("m2", at(2))] });
  conversation = withAnswers(conversation, { messages: [message("m2", at(2)), message("m1", at(1))] });
  conversation = withEvents(conversation, [{ type: "message", message: message("m4", at(4)) }]).conversation;
  expect(conversation.order).toEqual(["m1", "m2", "m3", "m4"]);
});

test("what was answered, by whom, stays to be read; of a turn that ended first, too", () => {
  const question = {
    id: "q1",
    messageId: "m1",
    askedAt: "2026-11-27T05:00:00.000Z",
    questions: [{ question: "Which?", header: "", options: [] }],
  };
  const asked = withEvents(EMPTY_CONVERSATION, [
    { type: "question-asked", question },
    { type: "question-asked", question: { ...question, id: "q2" } },
    { type: "question-asked", question: { ...question, id: "q3" } },
  ]).conversation;
  const { closed } = withEvents(asked, [
    { type: "question-closed", questionId: "q1", answers: [["A", "B"]], answeredBy: "jonas" },
    { type: "question-closed", questionId: "q1", answers: [["twice"]] },
    { type: "question-closed", questionId: "q2", answers: null },
    { type: "question-closed", questionId: "q3" },
  ]).conversation;
  expect(closed).toEqual([
    { id: "q1", messageId: "m1", asked: "Which?", answer: "A, B", by: "jonas" },
    { id: "q2", messageId: "m1", asked: "Which?", answer: null },
    { id: "q3", messageId: "m1", asked: "Which?" },
  ]);
});

describe("rows", () => {
  const done = (id: string, minute: number, more: Partial<Message> = {}) =>
    message(id, {
      status: "done",
      outcome: "ok",
      acceptedAt: `2026-11-27T05:0${minute}:00.000Z`,
      parts: [text(`p of ${id}`, "answer")],
      ...more,
    });
  const kinds = (
    conversation: typeof EMPTY_CONVERSATION,
    choices: Partial<Parameters<typeof conversationRows>[1]> = {},
  ) => conversationRows(conversation, { ...NO_CHOICES, ...choices }).map(({ kind, jobId }) => `${jobId} ${kind}`);

  test("fold what has ended, but not the newest, what was seen running, and what a person unfolded", () => {
    let conversation = withAnswers(EMPTY_CONVERSATION, { messages: [done("m1", 1), done("m2", 2), done("m3", 3)] });
    expect(kinds(conversation)).toEqual(["m1 head", "m2 head", "m3 head", "m3 said", "m3 part", "m3 end"]);
    expect(
      kinds(conversation, {
        folds: new Map([
          ["m1", true],
          ["m3", false],
        ]),
      }),
    ).toEqual(["m1 head", "m1 said", "m1 part", "m1 end", "m2 head", "m3 head"]);
    const running = message("m2b", { acceptedAt: "2026-11-27T05:02:30.000Z" });
    conversation = withEvents(conversation, [
      { type: "message", message: running },
      { type: "message", message: { ...running, status: "done", outcome: "ok" } },
    ]).conversation;
    expect(kinds(conversation)).toContain("m2b end");
  });

  test("have what waits last, and only one channel if asked", () => {
    const conversation = withAnswers(EMPTY_CONVERSATION, {
      messages: [
        message("m1", { status: "queued", attempts: 0, acceptedAt: "2026-11-27T05:01:00.000Z" }),
        message("m2", { channel: "review", acceptedAt: "2026-11-27T05:02:00.000Z" }),
      ],
    });
    expect(kinds(conversation)).toEqual(["m2 head", "m2 said", "m2 now", "m1 head", "m1 said", "m1 now"]);
    expect(kinds(conversation, { channel: "review" })).toEqual(["m2 head", "m2 said", "m2 now"]);
  });

  test("say which attempts were lost", () => {
    const turns = [
      turn({ attempt_id: "att_1", outcome: "lost", ended_at: "2026-11-27T05:01:00.000Z" }),
      turn({ attempt_id: "att_2", ended_at: "2026-11-27T05:02:00.000Z" }),
    ];
    const conversation = withAnswers(EMPTY_CONVERSATION, { messages: [done("m1", 1)], turns });
    expect(kinds(conversation)).toEqual(["m1 head", "m1 said", "m1 attempt", "m1 part", "m1 end"]);
  });

  test("have a request at its message, or at the end while that is not loaded", () => {
    const request = { id: "per_1", permission: "bash", detail: "rm", askedAt: "2026-11-27T05:00:00.000Z" };
    const conversation = withAnswers(EMPTY_CONVERSATION, { messages: [message("m1")] });
    expect(kinds(conversation, { permissions: [{ ...request, messageId: "m1" }] })).toEqual([
      "m1 head",
      "m1 said",
      "m1 permission",
    ]);
    expect(kinds(conversation, { permissions: [{ ...request, messageId: "m0" }] }).at(-1)).toBe("m0 permission");
  });

  test("have ids of their own", () => {
    const conversation = withAnswers(EMPTY_CONVERSATION, { messages: [done("m1", 1), done("m2", 2)] });
    const folds = new Map([["m1", true]]);
    const ids = conversationRows(conversation, { ...NO_CHOICES, folds }).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
