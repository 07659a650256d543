import type { SessionView } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import { waitForChange } from "./change-session.ts";

/** Waits until a session is running that has one of these states at each look, the last one for ever. @returns what is said */
async function waited(states: readonly Partial<SessionView>[], slowMs: number): Promise<string[]> {
  const lines: string[] = [];
  let look = 0;
  const api = { session: async () => (states[look++] ?? states.at(-1)) as SessionView };
  await waitForChange(api, "ses_1", ({ status }) => status === "running", {
    slowMs,
    say: (line) => lines.push(line),
    waitMs: 3000,
  });
  return lines;
}

test("a wait that takes long says each state of the session once", async () => {
  const line = { status: "starting", capacityPlace: 2 } as const;
  const states = [line, line, { status: "restoring" }, { status: "restoring" }, { status: "running" }] as const;
  expect(await waited(states, 0)).toEqual(["starting, place 2 in line for a sandbox …", "restoring …"]);
});

test("a short wait says nothing", async () => {
  expect(await waited([{ status: "restoring" }, { status: "running" }], 2000)).toEqual([]);
});
