/** Finds the shell commands that the documents show: in their blocks, and in the code spans of their prose. */

export interface ShellBlock {
  /** Where it begins in its document, from 1. */
  readonly line: number;
  readonly text: string;
}

export interface DocumentedCommand {
  /** As the document shows it, in one line, without its comment. */
  readonly text: string;
  /** The command's words, without variables before it and without `sudo`; `npx --yes pnpm@12` is `pnpm`. */
  readonly words: readonly string[];
}

/** The programs with which a code span must begin to be a command; `valet up` in a sentence is one. */
const PROGRAMS = ["pnpm", "npx", "valet", "wrangler", "du", "openssl", "docker", "node"];

export function shellBlocks(markdown: string): ShellBlock[] {
  return [...markdown.matchAll(/^```(?:sh|console)\n(.*?)^```$/gms)].map(({ 1: text = "", index }) => ({
    line: markdown.slice(0, index).split("\n").length,
    text,
  }));
}

/** Returns the commands of a block, one for each line that is not continued. */
export function commandsIn(block: string): DocumentedCommand[] {
  return block
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .map((line) => line.replace(/(?:^|\s{2,})#.*$|\s+#\s.*$/, "").trim())
    .filter((line) => line !== "")
    .flatMap((line) => line.split(/ && | \| /))
    .map(toCommand);
}

/** Returns the commands in a document's code spans. */
export function inlineCommands(markdown: string): DocumentedCommand[] {
  const prose = markdown.replaceAll(/^```.*?^```$/gms, "");
  return [...prose.matchAll(/`([^`\n]+)`/g)]
    .map(([, text = ""]) => text)
    .filter((text) => PROGRAMS.some((program) => text.startsWith(`${program} `)))
    .map(toCommand);
}

function toCommand(text: string): DocumentedCommand {
  const words = (text.match(/(?:"[^"]*"|<[^>]*>|\[[^\]]*\]|\S)+/g) ?? []).map((word) => word.replace(/^"(.*)"$/, "$1"));
  const first = words.findIndex((word) => !/^\w+=/.test(word));
  const command = words.slice(first === -1 ? words.length : first);
  if (command[0] === "sudo") command.splice(0, command[1] === "-u" ? 3 : 1);
  if (command[0] === "npx" && command[2] === "pnpm@12") command.splice(0, 3, "pnpm");
  return { text, words: command };
}

/** Returns the text with values in place of `<names of values>` and `…`, so that a shell can read it. */
export function withoutPlaceholders(text: string): string {
  return text.replaceAll(/<[^<>\n]+>/g, "value").replaceAll("…", "rest");
}
