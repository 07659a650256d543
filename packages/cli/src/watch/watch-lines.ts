/** What `valet watch` appends to a pipe or a log, where nothing is redrawn. */
import { ageText } from "@valet/shared/duration-text";
import type { WatchOutput } from "./watch-session.ts";

/** After how long without a line one is appended, in ms. */
export const SILENCE_MS = 15_000;

/**
 * Prints a line for each change, and at times what goes on: a process only learns from a write that its reader has gone.
 * @param now epoch ms
 */
export function watchLines(print: (line: string) => void, now: () => number = Date.now): WatchOutput {
  let last = "";
  let saidMs = now();
  const say = (line: string) => {
    saidMs = now();
    print(`${new Date(saidMs).toISOString().slice(11, 19)} ${line}`);
  };
  return {
    changed: (model, lines) => {
      lines.forEach(say);
      if (model.now === undefined || now() - saidMs < SILENCE_MS) return;
      const { state, since } = model.now.verdict;
      say(`${state} for ${ageText(now() - Date.parse(since))}`);
    },
    notice: (text) => {
      if (text !== "" && text !== last) say(text);
      last = text;
    },
  };
}
