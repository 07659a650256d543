import { expect, test } from "vitest";
import { readableInput, toolFailure, toolSubject } from "./tool-line.ts";

test.each([
  [{ title: "List files", input: '{"command":"ls  -la\\n"}' }, "ls -la"],
  [{ title: "src/a.ts", input: '{"filePath":"/w/src/a.ts"}' }, "src/a.ts"],
  [{ input: '{"pattern":"x|y","path":"src"}' }, "src"],
  [{ input: '{"questions":[{"question":"Which one?"}]}' }, "Which one?"],
  [{ input: '{"questions":[7],"other":1}' }, '{"questions":[7],"other":1}'],
  [{ input: '{"command":"cut off…' }, '{"command":"cut off…'],
  [{ input: "[1]" }, "[1]"],
  [{}, ""],
])("the line of %j is about %j", (part, subject) => expect(toolSubject(part)).toBe(subject));

test("a subject is one short line, whatever the input is", () => {
  const subject = toolSubject({ input: JSON.stringify({ command: "a\n".repeat(500_000) }) });
  expect(subject.length).toBeLessThanOrEqual(200);
  expect(subject).not.toContain("\n");
});

test("an input is read one argument a line; one that was cut as it is", () => {
  expect(readableInput('{"command":"a\\nb","timeout":5,"list":[1]}')).toBe(
    "command: a\nb\ntimeout: 5\nlist: [\n  1\n]",
  );
  expect(readableInput('{"command":"a…')).toBe('{"command":"a…');
});

test("a call that failed says how, also one that the agent reports as a success", () => {
  expect(toolFailure({ status: "completed", errorType: "tool_timeout" })).toBe("timed out");
  expect(toolFailure({ status: "completed", errorType: "tool_call_invalid" })).toBe("invalid call");
  expect(toolFailure({ status: "completed", exitCode: 3 })).toBe("exit 3");
  expect(toolFailure({ status: "error", errorType: "tool_failed" })).toBe("failed");
  expect(toolFailure({ status: "error" })).toBe("failed");
  expect([toolFailure({ status: "completed", exitCode: 0 }), toolFailure({ status: "running" })]).toEqual([
    undefined,
    undefined,
  ]);
});
