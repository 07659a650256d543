/** A runner that dies in the middle of a turn, as its page sees it. */
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { killNow, processesOfSession, RUNNER, readProcess, resume, waitingRunners } from "../processes.ts";
import type { Explorer } from "./page.ts";

/** @param explorerOf has the scripted model of `session.test.ts` */
export function lostRunnerJourneys(explorerOf: () => Explorer): void {
  let explorer: Explorer;
  let page: Page;
  let id: string;
  beforeAll(async () => {
    explorer = explorerOf();
    ({ id } = await explorer.up.api.createSession({ title: "Loses its runner" }));
    await explorer.up.api.sendMessage(id, { content: "[slow] and lost" });
    ({ page } = await explorer.openSignedIn(`/sessions/${id}`, { viewport: { width: 1440, height: 900 } }));
    return () => page.context().close();
  });

  const talk = () => page.getByRole("region", { name: "Messages and turns" });

  /** The runner of a session; its children have another command. */
  const runnerOf = (sessionId: string) =>
    processesOfSession(explorer.stateDir, sessionId).find((pid) => RUNNER.test(readProcess(pid, "cmdline")));

  /** Stops the runner that waits for the next sandbox. @returns what lets it go on */
  async function stopNext(): Promise<() => void> {
    let next: number[] = [];
    const count = () => {
      next = waitingRunners(explorer.up.pid ?? 0, explorer.stateDir);
      return next.length;
    };
    await expect.poll(count).toBeGreaterThan(0);
    for (const pid of next) process.kill(pid, "SIGSTOP");
    return () => next.forEach(resume);
  }

  test("a runner that dies is said at once, with what becomes of the work, and the page goes on by itself", async () => {
    await talk().getByText("The agent works").waitFor({ timeout: 60_000 });
    const pid = runnerOf(id);
    if (pid === undefined) throw new Error("the session has no runner");
    // What the page says in between holds until its successor works.
    const goOn = await stopNext();
    try {
      expect(killNow(pid)).toBe(true);
      await page.getByText("The link to the runner is down.").waitFor();
      await talk().getByText("An attempt was lost; it starts again.", { exact: false }).waitFor();
      await talk().getByText("Attempt 1 was lost", { exact: false }).waitFor();
    } finally {
      goOn();
    }
    await talk().getByText("The agent works").waitFor({ timeout: 60_000 });
    await expect
      .poll(() => page.getByRole("region", { name: "Timeline" }).getByText(/lost/).count())
      .toBeGreaterThan(0);
  }, 120_000);
}
