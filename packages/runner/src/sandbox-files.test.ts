/** What a runner does whose files somebody removes, or whose disk is away. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createAgent, DONE } from "../test/agent.ts";
import { temporaryFolder } from "../test/folder.ts";
import { dispatch, framesOf } from "../test/link-server.ts";
import { setUp } from "../test/runner.ts";
import { SandboxFiles } from "./sandbox-files.ts";

test("a runner whose files somebody removed takes no work, and ends; without the workspace alone it goes on", async () => {
  const [gone, left] = [setUp(), setUp()];
  await Promise.all([gone.ready(), left.ready()]);
  rmSync(gone.home, { recursive: true });
  rmSync(left.workspace, { recursive: true, force: true });
  for (const { server } of [gone, left]) server.send({ type: "prompt", dispatch: dispatch("att_1") });
  expect(await gone.ended).toBe("stopped");
  expect(gone.problems).toContain(
    "the sandbox's workspace and home were removed: the runner ends, and the running work is lost",
  );
  expect(framesOf(gone.server.received, "attempt-accepted")).toEqual([]);
  await left.server.frame("attempt-accepted");
});

describe("a runner whose files somebody removes during a turn reports no end of it", () => {
  test.each([
    ["and ends by itself", undefined],
    ["if the agent fails for that", { ...DONE, outcome: "error", errorType: "provider_unavailable" } as const],
    ["if the agent notices nothing", DONE],
  ])("%s", async (_what, end) => {
    const { server, ready, agent, home, ended, problems } = setUp();
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    rmSync(home, { recursive: true });
    if (end !== undefined) agent.end("att_1", end);
    expect(await ended).toBe("stopped");
    expect(problems).toContain(
      "the sandbox's workspace and home were removed: the runner ends, and the running work is lost",
    );
    expect(framesOf(server.received, "turn-ended")).toEqual([]);
  });
});

test("a runner goes on while the folder of all sandboxes is away, as on a disk that was unmounted or answers with errors, and while another one is in its place", async () => {
  const disk = join(temporaryFolder(), "disk");
  const sandboxes = join(disk, "sandboxes");
  const home = join(sandboxes, "sandbox");
  mkdirSync(home, { recursive: true });
  const { server, ready, agent, ended } = setUp({ home });
  await ready();
  const goesOn = async (attemptId: string) => {
    server.send({ type: "prompt", dispatch: dispatch(attemptId) });
    await server.frame("attempt-accepted", (frame) => frame.attemptId === attemptId);
    agent.end(attemptId, DONE);
    expect(await server.frame("turn-ended", (frame) => frame.attemptId === attemptId)).toMatchObject({ outcome: "ok" });
  };
  renameSync(sandboxes, `${sandboxes}-elsewhere`);
  await goesOn("att_1");
  // As under a mount point.
  mkdirSync(sandboxes);
  await goesOn("att_2");
  rmSync(sandboxes, { recursive: true });
  renameSync(`${sandboxes}-elsewhere`, sandboxes);
  renameSync(disk, `${disk}-elsewhere`);
  writeFileSync(disk, "");
  await goesOn("att_3");
  rmSync(disk);
  renameSync(`${disk}-elsewhere`, disk);
  rmSync(home, { recursive: true });
  server.send({ type: "prompt", dispatch: dispatch("att_4") });
  expect(await ended).toBe("stopped");
});

test("files that were never seen do not count as removed", () => {
  const home = join(temporaryFolder(), "sandboxes", "sandbox");
  expect(new SandboxFiles({ workspace: join(home, "workspace"), home }).areRemoved).toBe(false);
});

test("a runner whose files somebody removes during its start does not blame the agent or git for it", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const { server, home, ended, agent } = setUp({ agent: createAgent({ healthy: () => promise }) });
  await server.waitUntil(() => agent.start());
  await agent.start()?.workspaceReady;
  rmSync(home, { recursive: true });
  reject(new Error("it cannot write"));
  expect(await ended).toBe("stopped");
  expect(framesOf(server.received, "stage").map(({ stage }) => stage)).not.toContain("failed");
});
