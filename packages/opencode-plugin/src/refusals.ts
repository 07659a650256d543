/** Reads from the runner's file whether it has refused model calls since a permit was requested. */
import { statSync } from "node:fs";
import { REFUSALS_FILE_VARIABLE } from "@valet/shared/protocol/agent-variables";

/** Returns a number that grows whenever the runner decides to refuse calls; `undefined` if it is unknown. */
export type RefusalCount = () => number | undefined;

/** Takes the file's path from the environment. */
export function readRefusals(env: Record<string, string | undefined>): RefusalCount {
  const { [REFUSALS_FILE_VARIABLE]: path } = env;
  delete env[REFUSALS_FILE_VARIABLE];
  return () => (path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })?.size);
}
