/** An option that would have no effect is refused before anything is asked. */
import { expect, test, vi } from "vitest";
import { runProgram } from "../run-program.ts";

const SESSION = `ses_${"a".repeat(26)}`;

test.each([
  [["prompt", "hi", "--session", SESSION, "--repo", "https://git.test/x"], "--repo"],
  [["prompt", "hi", "--session", SESSION, "--branch", "main"], "--branch"],
  [["prompt", "hi", "--session", SESSION, "--trust-repository-config"], "--trust-repository-config"],
  [["prompt", "hi", "--session", SESSION, "--agent-otlp", "on"], "--agent-otlp"],
  [["prompt", "hi", "--session", SESSION, "--ask-before", "commands"], "--ask-before"],
  [["turns", "--stats", "--sort", "cost"], "--sort"],
  [["turns", "--by", "user", "--limit", "5"], "--limit"],
  [["turns", "--exact"], "--exact"],
  [["sessions", SESSION, "--search", "x"], "--search"],
  [["diff", SESSION, "--stat", "--file", "README.md"], "--file"],
])("%j", async (args, option) => {
  const ask = vi.spyOn(globalThis, "fetch").mockRejectedValue(new Error("nobody is asked"));
  let written = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written += text;
    return true;
  });
  const code = await runProgram([...args, "--url", "http://valet.test", "--token", "t", "--json"]);
  write.mockRestore();
  expect(code).toBe(2);
  expect(JSON.parse(written)).toMatchObject({ error: { type: "usage", message: expect.stringContaining(option) } });
  expect(ask).not.toHaveBeenCalled();
  ask.mockRestore();
});
