import { expect, test } from "vitest";
import { EMPTY_CONVERSATION, type Message, withAnswers, withEvents } from "./conversation.ts";
import { conversationRows, isSameRow } from "./rows.ts";

const message = (id: string, acceptedAt: string, more: Partial<Message>): Message => ({
  id,
  status: "accepted",
  channel: "main",
  queueMode: "followup",
  source: "user",
  content: "hello",
  attachments: [],
  attempts: 1,
  acceptedAt,
  parts: [],
  ...more,
});

test("text that streams changes its own row, and none of the others", () => {
  const choices = { folds: new Map(), permissions: [], questions: [] };
  const before = withAnswers(EMPTY_CONVERSATION, {
    messages: [
      message("m1", "2026-01-01T00:00:00Z", { status: "done", outcome: "ok" }),
      message("m2", "2026-01-01T00:00:01Z", {
        parts: [
          { type: "text", id: "p1", text: "one" },
          { type: "text", id: "p2", text: "two" },
        ],
      }),
    ],
  });
  const delta = { partId: "p2", field: "text", from: 3, text: " more" } as const;
  const { conversation } = withEvents(before, [{ type: "part-delta", messageId: "m2", delta }]);
  const [old, next] = [conversationRows(before, choices), conversationRows(conversation, choices)];
  const changed = next.filter((row, index) => !old.some((each) => isSameRow(each, row)) || old[index]?.id !== row.id);
  // The head, what was said and the line of now hold the message, which is another object with its new part.
  expect(changed.map(({ id }) => id)).not.toContain("m1 head");
  expect(changed.map(({ id }) => id)).not.toContain("m2 p1");
  expect(changed.map(({ id }) => id)).toContain("m2 p2");
});
