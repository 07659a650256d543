/** A tool call in one line: what it was called for, and how it ended. Pure. */

import { firstLine } from "../format/first-line.ts";
import type { Part } from "./conversation.ts";

export type ToolPart = Extract<Part, { type: "tool" }>;

/** The arguments that say what a call is about, the most telling first. */
const TELLING = ["filePath", "path", "pattern", "query", "url", "prompt", "message", "description", "session"];

/** Returns what a call is about: its command or its title, or else its most telling argument, or else its input. */
export function toolSubject({ title, input }: Pick<ToolPart, "title" | "input">): string {
  const args = parsed(input);
  const asked = firstQuestion(args);
  if (asked !== undefined) return firstLine(asked);
  const telling = TELLING.map((name) => args?.[name]).find((value) => typeof value === "string" && value !== "");
  if (typeof args?.command === "string" && args.command !== "") return firstLine(args.command);
  if (title !== undefined && title !== "") return firstLine(title);
  return firstLine(typeof telling === "string" ? telling : (input ?? ""));
}

/** Returns how a call failed, in a word or two; `undefined` if it did not, or has not ended. */
export function toolFailure({ status, exitCode, errorType }: Pick<ToolPart, "status" | "exitCode" | "errorType">) {
  if (exitCode !== undefined && exitCode !== 0) return `exit ${exitCode}`;
  if (errorType === "tool_timeout") return "timed out";
  if (errorType === "tool_call_invalid") return "invalid call";
  return status === "error" ? "failed" : undefined;
}

/** Returns what a call of the tool `question` asks. */
function firstQuestion(args: Record<string, unknown> | undefined): string | undefined {
  const first: unknown = Array.isArray(args?.questions) ? args.questions[0] : undefined;
  if (typeof first !== "object" || first === null || !("question" in first)) return undefined;
  return typeof first.question === "string" ? first.question : undefined;
}

/** Returns the input as people read it: one argument a line. Of an input that was cut, the text as it is. */
export function readableInput(input: string): string {
  const args = parsed(input);
  if (args === undefined) return input;
  return Object.entries(args)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value, null, 2)}`)
    .join("\n");
}

function parsed(input: string | undefined): Record<string, unknown> | undefined {
  if (input === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(input);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
