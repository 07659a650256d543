import fc from "fast-check";
import { expect, test } from "vitest";
import { REDACTED, SecretValues } from "../secrets/secret-values.ts";
import { AnswerParts } from "./answer-parts.ts";
import { EventRedactor } from "./event-redactor.ts";
import { readEvent } from "./events.ts";

const KEY = "canary-of-the-model-key";

function redactor() {
  const secrets = new SecretValues();
  secrets.add(KEY);
  return new EventRedactor(secrets);
}

const ids = { sessionID: "ses_1", messageID: "msg_2" };
const message = {
  type: "message.updated",
  properties: {
    info: {
      role: "assistant",
      id: "msg_2",
      sessionID: "ses_1",
      parentID: "msg_1",
      time: { created: 1 },
      providerID: "p",
      modelID: "m",
    },
  },
};
const partOf = (text: string, end?: number) => ({
  type: "message.part.updated",
  properties: { part: { type: "text", id: "prt_1", ...ids, text, time: { start: 1, ...(end && { end }) } } },
});
const deltaOf = (delta: string) => ({
  type: "message.part.delta",
  properties: { ...ids, partID: "prt_1", field: "text", delta },
});

test("a key that arrives in chunks is in no view of the answer, and everything else is", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(60), { maxLength: 12 }), fc.nat(3), (cuts, whole) => {
      const text = `The key is ${KEY}, and c is no key.`;
      const events = redactor();
      const answer = new AnswerParts("att_1", "ses_1", () => true);
      const views: string[] = [];
      const play = (event: unknown) => {
        const read = readEvent(events.read(event));
        if (read !== undefined && answer.apply(read) !== undefined)
          views.push((answer.get("prt_1") as { text: string }).text);
      };
      play(message);
      play(partOf(""));
      const places = [...new Set(cuts.map((cut) => cut % text.length))].sort((a, b) => a - b);
      let from = 0;
      for (const [index, place] of [...places, text.length].entries()) {
        play(deltaOf(text.slice(from, place)));
        // Sometimes the whole text so far is sent again.
        if (index === whole) play(partOf(text.slice(0, place)));
        from = place;
      }
      for (const view of views) {
        expect(view).not.toContain("canary");
        expect(text.replace(KEY, REDACTED).startsWith(view)).toBe(true);
      }
      play(partOf(text, 2));
      expect(views.at(-1)).toBe(text.replace(KEY, REDACTED));
    }),
  );
});

test("outputs, requests and errors of tools are redacted before they are cut", () => {
  const long = "x".repeat(7_990);
  const tool = {
    type: "message.part.updated",
    properties: {
      part: {
        type: "tool",
        id: "prt_1",
        ...ids,
        tool: "bash",
        callID: "call_1",
        state: {
          status: "completed",
          input: { command: `echo ${KEY}` },
          title: KEY,
          time: { start: 1, end: 2 },
          output: `${long}${KEY}`,
        },
      },
    },
  };
  const events = redactor();
  const answer = new AnswerParts("att_1", "ses_1", () => true);
  for (const event of [message, tool]) answer.apply(readEvent(events.read(event)) as never);
  const text = JSON.stringify(answer.all());
  expect(text).toContain(REDACTED.slice(0, 4));
  expect(text).not.toMatch(/canary/);
  const asked = {
    type: "permission.asked",
    properties: { id: "per_1", sessionID: "ses_1", permission: "bash", patterns: [`curl -H ${KEY}`] },
  };
  expect(JSON.stringify(events.read(asked))).not.toContain("canary");
});
