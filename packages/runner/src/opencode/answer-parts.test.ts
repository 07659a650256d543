import { expect, test } from "vitest";
import { loadRecording } from "../../test/recordings.ts";
import { AnswerParts, partsOfHistory } from "./answer-parts.ts";
import { type AssistantMessage, type Part, readEvent } from "./events.ts";

function gather(recording: string, isOwn: (id: string) => boolean = () => true) {
  const { events, calls } = loadRecording(recording);
  const session = calls.find(({ path }) => path.endsWith("/prompt_async"))?.path.split("/")[2] as string;
  const answer = new AnswerParts(session, isOwn);
  const seen = new Map<string, string[]>();
  for (const { event } of events) {
    const read = readEvent(event);
    const id = read === undefined ? undefined : answer.apply(read);
    const part = id === undefined ? undefined : answer.get(id);
    if (part === undefined) continue;
    const texts = seen.get(part.id) ?? [];
    seen.set(part.id, [...texts, part.type === "tool" ? part.status : part.text]);
  }
  return { answer, seen: [...seen.values()] };
}

test("an answer grows piece by piece to what it is in the end", () => {
  const { answer, seen } = gather("simple");
  expect(answer.all().map((part) => (part.type === "tool" ? `${part.tool} ${part.status}` : part.text))).toEqual([
    "I read the file before I change it.",
    "Reading the file.",
    "read completed",
    "edit completed",
    "bash completed",
    "The greeting is fixed and the tests pass.",
  ]);
  expect(seen[0]?.slice(0, 3)).toEqual(["", "I read the file ", "I read the file before I change "]);
  expect(seen[2]).toEqual(["pending", "running", "completed"]);
});

test("neither a sub-agent's words nor a summary for itself are the answer; what the user said is not either", () => {
  expect(
    gather("subagent")
      .answer.all()
      .map(({ type }) => type),
  ).toEqual(["reasoning", "tool", "text"]);
  expect(JSON.stringify(gather("auto-compaction").answer.all())).not.toContain("asked for a greeting");
  expect(gather("simple", () => false).answer.all()).toEqual([]);
});

test("the history's answer: of the turn's own messages, without empty texts, long ones cut", () => {
  const info = (id: string, parentID: string): AssistantMessage => ({
    ...{ role: "assistant" as const, id, sessionID: "ses_1", parentID, time: { created: 1, completed: 2 } },
    ...{ agent: "build", providerID: "p", modelID: "m" },
  });
  const text = (id: string, messageID: string, content: string): Part => ({
    ...{ type: "text", id, messageID, sessionID: "ses_1", text: content },
  });
  const parts = partsOfHistory(
    [
      { info: info("msg_1", "msg_other"), parts: [text("prt_1", "msg_1", "not this")] },
      {
        info: info("msg_2", "msg_own"),
        parts: [text("prt_2", "msg_2", ""), text("prt_3", "msg_2", "x".repeat(200_000))],
      },
    ],
    (id) => id === "msg_own",
  );
  expect(parts).toEqual([{ type: "text", id: "prt_3", text: "x".repeat(100_000) }]);
});
