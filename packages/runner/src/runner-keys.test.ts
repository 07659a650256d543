/** What a runner keeps of the keys of its generation for its successor. */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../test/folder.ts";
import { config } from "../test/link-server.ts";
import { setUp } from "../test/runner.ts";

describe("the keys of a generation", () => {
  const repoUrl = "https://git.example/none.git";
  const secret = config({ modelAccess: { model: "valet/m", providerKeys: { OPENAI_API_KEY: "canary" } } });
  const bare = config({ modelAccess: { model: "valet/m", providerKeys: {} }, hasSecrets: true });

  test("are kept for the successor of a dead runner", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, greeting: [secret, { type: "repo-config" }] });
    await first.ready();
    await first.runner.stop("runner_shutdown");
    const { ready, agent, problems } = setUp({ home, greeting: [bare, { type: "repo-config" }] });
    await ready();
    expect(agent.start()?.config.modelAccess.providerKeys).toEqual({ OPENAI_API_KEY: "canary" });
    expect(problems).toEqual([]);
  });

  test("are kept later if they could not be kept at first", async () => {
    const home = temporaryFolder();
    // A folder in place of the file has the effect of a full disk.
    mkdirSync(join(home, "secrets.new"));
    const first = setUp({ home, greeting: [secret, { type: "repo-config" }] });
    await first.ready();
    expect(first.problems).toEqual([expect.stringContaining("could not keep the keys")]);
    rmSync(join(home, "secrets.new"), { recursive: true });
    await vi.waitFor(() => expect(existsSync(join(home, "secrets"))).toBe(true), 20_000);
    await first.runner.stop("runner_shutdown");
    const { ready, agent } = setUp({ home, greeting: [bare, { type: "repo-config" }] });
    await ready();
    expect(agent.start()?.config.modelAccess.providerKeys).toEqual({ OPENAI_API_KEY: "canary" });
  });

  test("are not kept after a regular stop, or for another sandbox: its start fails with secrets_lost", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, greeting: [secret, { type: "repo-config" }] });
    await first.ready();
    await first.runner.stop("session_hibernated");
    const { server, agent, span } = setUp({ home, greeting: [bare, { type: "repo-config", repoUrl }] });
    const { errorType } = await server.frame("stage", ({ stage }) => stage === "failed");
    expect(errorType).toBe("secrets_lost");
    expect((await span("valet.runner.bootstrap")).attributes).toMatchObject({ "error.type": "secrets_lost" });
    expect(agent.start()).toBeUndefined();
  });
});
