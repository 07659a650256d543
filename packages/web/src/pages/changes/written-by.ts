/** Which tool calls of a turn wrote a file, as far as their inputs tell. Pure. */
import type { Schemas } from "../../api/client.ts";

type Message = Pick<Schemas["MessageView"], "id" | "parts">;
type ToolPart = Extract<Schemas["MessagePart"], { type: "tool" }>;

/** Tools of OpenCode that write the file that their input names. */
const WRITES: readonly string[] = ["write", "edit", "multiedit"];
/** Its tools whose input is a patch, which names the files. */
const PATCHES: readonly string[] = ["patch", "apply_patch"];
/** Its tools that only read, or that write elsewhere. */
const READS: readonly string[] = [
  ...["read", "glob", "grep", "list", "ls", "webfetch", "websearch", "codesearch", "todowrite", "todoread", "question"],
  ...["skill", "lsp", "invalid"],
];

export interface WritingCall {
  readonly messageId: string;
  readonly part: ToolPart;
}

interface WrittenBy {
  /** The calls whose input names the file. */
  readonly calls: readonly WritingCall[];
  /** Calls that may have written it and do not say what they write: commands, sub-agents, tools of others. */
  readonly others: readonly WritingCall[];
}

/** @param path of the file in the repository */
export function writtenBy(path: string, messages: readonly Message[]): WrittenBy {
  const all = messages.flatMap(({ id: messageId, parts }) =>
    parts.flatMap((part): WritingCall[] => (part.type === "tool" ? [{ messageId, part }] : [])),
  );
  return {
    calls: all.filter(({ part }) => names(part, path)),
    others: all.filter(({ part: { tool } }) => ![...WRITES, ...PATCHES, ...READS].includes(tool)),
  };
}

function names({ tool, input = "" }: ToolPart, path: string): boolean {
  if (WRITES.includes(tool)) {
    const file = filePathOf(input);
    return file !== undefined && isPath(file, path);
  }
  if (!PATCHES.includes(tool)) return false;
  // The input is JSON, in which a line break is `\n`.
  const lines = [...stringsOf(input)].flatMap((text) => text.split("\n"));
  return lines.some((line) => {
    const [, file] = /^(?:\*\*\* (?:Add|Update|Delete) File: |\*\*\* Move to: |\+\+\+ b\/)(.+)$/.exec(line) ?? [];
    return file !== undefined && isPath(file.trim(), path);
  });
}

/** Returns whether a tool's path is that of a file in the repository: the same, or absolute and ending so. */
function isPath(file: string, path: string): boolean {
  return file === path || file === `./${path}` || (file.startsWith("/") && file.endsWith(`/${path}`));
}

/** Inputs are cut to a length, so the path is also looked for in what is no whole JSON any more. */
function filePathOf(input: string): string | undefined {
  const whole = parsed(input);
  if (whole !== undefined) {
    const { filePath, file_path } = (whole ?? {}) as { filePath?: unknown; file_path?: unknown };
    const found = filePath ?? file_path;
    return typeof found === "string" ? found : undefined;
  }
  const [, quoted] = /"file_?[pP]ath"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(input) ?? [];
  const found = quoted === undefined ? undefined : parsed(quoted);
  return typeof found === "string" ? found : undefined;
}

function* stringsOf(input: string): Generator<string> {
  const whole = parsed(input);
  if (typeof whole === "string") yield whole;
  else if (typeof whole === "object" && whole !== null) {
    for (const value of Object.values(whole)) if (typeof value === "string") yield value;
  } else yield input.replaceAll("\\n", "\n");
}

/** Returns the value of a JSON text; `undefined` if it is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
