import { expect, test } from "vitest";
import { loadRecording } from "../../test/recordings.ts";
import { AnswerParts, partsOfHistory } from "./answer-parts.ts";
import { type AssistantMessage, type Part, readEvent } from "./events.ts";

function gather(recording: string, isOwn: (id: string) => boolean = () => true) {
  const { events, calls } = loadRecording(recording);
  const session = calls.find(({ path }) => path.endsWith("/prompt_async"))?.path.split("/")[2] as string;
  const answer = new AnswerParts("att_1", session, isOwn);
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

test("an answer grows chunk by chunk to its final state", () => {
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

test("a sub-agent's texts, a compaction's summary and the user's message are not part of the answer", () => {
  expect(
    gather("subagent")
      .answer.all()
      .map(({ type }) => type),
  ).toEqual(["reasoning", "tool", "text"]);
  expect(JSON.stringify(gather("auto-compaction").answer.all())).not.toContain("asked for a greeting");
  expect(gather("simple", () => false).answer.all()).toEqual([]);
});

test("the answer from the history: only the turn's own messages, without empty texts, with long texts cut", () => {
  const info = (id: string, parentID: string): AssistantMessage => ({
    role: "assistant" as const,
    id,
    sessionID: "ses_1",
    parentID,
    time: { created: 1, completed: 2 },
    agent: "build",
    providerID: "p",
    modelID: "m",
  });
  const text = (id: string, messageID: string, content: string): Part => ({
    type: "text",
    id,
    messageID,
    sessionID: "ses_1",
    text: content,
  });
  const parts = partsOfHistory(
    "att_1",
    [
      { info: info("msg_1", "msg_other"), parts: [text("prt_1", "msg_1", "not this")] },
      {
        info: info("msg_2", "msg_own"),
        parts: [text("prt_2", "msg_2", ""), text("prt_3", "msg_2", "x".repeat(200_000))],
      },
    ],
    (id) => id === "msg_own",
  );
  expect(parts).toEqual([{ type: "text", id: "prt_3", text: `${"x".repeat(99_999)}…` }]);
});

test("a text that is too long ends with an ellipsis, also if it grew by chunks, and is reported once", () => {
  const answer = new AnswerParts("att_1", "ses_1", () => true);
  const part = { id: "prt_1", messageID: "msg_1", sessionID: "ses_1" };
  const apply = (type: string, properties: object) => answer.apply(readEvent({ type, properties }) as never);
  apply("message.updated", {
    info: {
      role: "assistant",
      id: "msg_1",
      sessionID: "ses_1",
      parentID: "msg_0",
      time: { created: 1 },
      agent: "build",
      providerID: "p",
      modelID: "m",
    },
  });
  const delta = (text: string) =>
    apply("message.part.delta", {
      sessionID: "ses_1",
      messageID: "msg_1",
      partID: "prt_1",
      field: "text",
      delta: text,
    });
  apply("message.part.updated", { part: { ...part, type: "text", text: "" } });
  expect(delta("x".repeat(100_000))).toBe("prt_1");
  expect(answer.get("prt_1")).toMatchObject({ text: "x".repeat(100_000) });
  expect(delta("y")).toBe("prt_1");
  expect(answer.get("prt_1")).toMatchObject({ text: `${"x".repeat(99_999)}…` });
  expect(delta("z")).toBeUndefined();
  const state = { status: "completed", input: { command: "i".repeat(9_000) }, output: "o".repeat(9_000), title: "t" };
  const tool = {
    ...part,
    id: "prt_2",
    type: "tool",
    tool: "bash",
    callID: "call_1",
    state: { ...state, time: { start: 1, end: 2 } },
  };
  apply("message.part.updated", { part: tool });
  expect(answer.get("prt_2")).toMatchObject({ output: `${"o".repeat(7_999)}…`, input: expect.stringMatching(/i…$/) });
});

test("a tool call says which span it is, when it began, how long it took, and how its command ended", () => {
  const { answer } = gather("simple");
  const calls = answer.all().filter((part) => part.type === "tool");
  expect(calls.map(({ spanId }) => spanId)).toEqual(calls.map(() => expect.stringMatching(/^[0-9a-f]{16}$/)));
  expect(new Set(calls.map(({ spanId }) => spanId)).size).toBe(3);
  for (const { startedAt = "", duration_ms } of calls) {
    expect(Date.parse(startedAt)).toBeGreaterThan(0);
    expect(duration_ms).toBeGreaterThanOrEqual(0);
  }
  expect(calls.map(({ exitCode }) => exitCode)).toEqual([undefined, undefined, 0]);
});

test("a call that has not begun has no times, and one whose clock was set back took no negative time", () => {
  const call = (id: string, state: object): Part =>
    ({ type: "tool", id, messageID: "msg_1", sessionID: "ses_1", tool: "bash", callID: id, state }) as Part;
  const info = { role: "assistant", id: "msg_1", sessionID: "ses_1", parentID: "msg_0", agent: "build" };
  const [pending, running, ended] = partsOfHistory(
    "att_1",
    [
      {
        info: { ...info, time: { created: 1 }, providerID: "p", modelID: "m" } as AssistantMessage,
        parts: [
          call("prt_1", { status: "pending" }),
          call("prt_2", { status: "running", input: {}, time: { start: 1_000 } }),
          call("prt_3", {
            status: "error",
            input: {},
            error: "no",
            metadata: { exit: null },
            time: { start: 5, end: 2 },
          }),
        ],
      },
    ],
    () => true,
  );
  expect(pending).not.toHaveProperty("startedAt");
  expect(running).toMatchObject({ startedAt: "1970-01-01T00:00:01.000Z" });
  expect(running).not.toHaveProperty("duration_ms");
  expect(ended).toMatchObject({ duration_ms: 0 });
  expect(ended).not.toHaveProperty("exitCode");
});

test("a call that failed says why as its span does, also where OpenCode reports a success", () => {
  const call = (id: string, tool: string, state: object): Part =>
    ({ type: "tool", id, messageID: "msg_1", sessionID: "ses_1", tool, callID: id, state }) as Part;
  const done = { status: "completed", input: {}, title: "", time: { start: 1, end: 2 } };
  const info = { role: "assistant", id: "msg_1", sessionID: "ses_1", parentID: "msg_0", agent: "build" };
  const timedOut = "<shell_metadata>\nshell tool terminated command after exceeding timeout 2000 ms\n</shell_metadata>";
  const parts = partsOfHistory(
    "att_1",
    [
      {
        info: { ...info, time: { created: 1 }, providerID: "p", modelID: "m" } as AssistantMessage,
        parts: [
          call("prt_1", "bash", { ...done, output: `some\n${timedOut}`, metadata: {} }),
          call("prt_2", "invalid", { ...done, input: { tool: "frob" }, output: "", metadata: {} }),
          call("prt_3", "edit", { status: "error", input: {}, error: "no such file", time: { start: 1, end: 2 } }),
          call("prt_4", "bash", {
            status: "error",
            input: {},
            error: "The user dismissed this question",
            time: { start: 1, end: 2 },
          }),
          call("prt_5", "bash", { ...done, output: timedOut, metadata: { exit: 0 } }),
        ],
      },
    ],
    () => true,
  );
  const types = parts.map((part) => (part.type === "tool" ? part.errorType : "no tool"));
  expect(types).toEqual(["tool_timeout", "tool_call_invalid", "tool_failed", undefined, undefined]);
});
