/** The wall between two users, with real processes. Changing the user takes root, as whom tests of containers run anyway. */
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { git } from "../git/git-command.ts";
import { attachmentParts } from "../jobs/attachments.ts";
import { asUser, OtherUser } from "./other-user.ts";
import { WallError } from "./wall.ts";

/** Of nobody on this machine, since the wall ends all that this user has. */
const USER = String(50_000 + (process.pid % 10_000));
const isRoot = process.getuid?.() === 0;

function setUp() {
  const wall = new OtherUser(USER);
  onTestFinished(() => wall.close());
  const workspace = mkdtempSync(join(tmpdir(), "valet-user-"));
  onTestFinished(() => rmSync(workspace, { recursive: true }));
  chmodSync(workspace, 0o755);
  chownSync(workspace, Number(USER), Number(USER));
  const sh = async (script: string) => {
    const { command, cwd } = await wall.enter(["/bin/sh", "-c", script], workspace);
    return spawnSync(command[0], command.slice(1), { cwd, encoding: "utf8", env: { PATH: "/usr/bin:/bin" } });
  };
  return { wall, workspace, sh };
}

describe.skipIf(!isRoot)("another user (skipped without root)", () => {
  test("a program has no capability and no way to one, and works in its folder", async () => {
    const { workspace, sh } = setUp();
    const { stdout } = await sh(
      "pwd; id -u; id -G; touch made; grep -E '^(CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/self/status",
    );
    const none = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map((name) => `${name}:\t0000000000000000\n`).join("");
    expect(stdout).toBe(`${workspace}\n${USER}\n${USER}\n${none}NoNewPrivs:\t1\n`);
    expect(statSync(join(workspace, "made")).uid).toBe(Number(USER));
  });

  test("the runner's environment, memory and files cannot be read, nor can it be signalled", async () => {
    const { sh } = setUp();
    const secret = join(temporaryFolder(), "secret");
    writeFileSync(secret, "a secret", { mode: 0o600 });
    const { stdout, stderr } = await sh(
      `cat /proc/${process.pid}/environ ${secret}; head -c 1 /proc/${process.pid}/mem; ls -l /proc/${process.pid}/fd; kill -0 ${process.pid}`,
    );
    expect(stdout.trim()).toMatch(/^(?:total 0)?$/);
    expect(stderr.match(/Permission denied/g)?.length).toBeGreaterThanOrEqual(3);
    expect(stderr).toMatch(/kill: .*not permitted/i);
  });

  test("all that it started ends with the wall, and nothing starts after that", async () => {
    const { wall, workspace, sh } = setUp();
    const { stdout } = await sh("setsid sleep 271 >/dev/null 2>&1 & echo $!; sleep 0.1");
    // Not those that have ended and wait for their parent.
    const listed = () => spawnSync("pgrep", ["-u", USER, "-r", "RS"], { encoding: "utf8" }).stdout;
    expect(stdout).not.toBe("");
    expect(listed()).not.toBe("");
    await wall.close();
    await expect.poll(listed).toBe("");
    await expect(wall.enter(["true"], workspace)).rejects.toThrow(WallError);
  });

  test("processes that start others as fast as they can, and run on without their parents, are ended, and the wall stays", async () => {
    const { wall, sh } = setUp();
    const bomb = "ulimit -u 150; b() { [ $SECONDS -lt 30 ] && { b | b & }; }; b; b; b; sleep 30";
    await sh(`setsid bash -c '${bomb}' >/dev/null 2>&1 & sleep 0.1`);
    await expect.poll(() => wall.processes(1000).length, { timeout: 20_000 }).toBeGreaterThan(100);
    await wall.endProcesses();
    expect(wall.processes(1000)).toEqual([]);
    expect((await sh("echo here")).stdout).toBe("here\n");
  });

  test("it counts its own processes, and no more than it is asked for", async () => {
    const { wall, sh } = setUp();
    await sh("for i in 1 2 3; do setsid sleep 271 >/dev/null 2>&1 & done; sleep 0.1");
    expect(wall.processes(10)).toHaveLength(3);
    expect(wall.processes(1)).toHaveLength(2);
  });

  test("a user that is not there is an error", () => {
    expect(() => new OtherUser("nobody-of-that-name")).toThrow("no user nobody-of-that-name");
  });

  test("what git sets up and what a person attaches are that user's", async () => {
    const { workspace } = setUp();
    const signal = AbortSignal.timeout(10_000);
    const options = { cwd: workspace, env: { PATH: process.env.PATH }, transports: [], runAs: asUser(USER), signal };
    await git(["init", "--quiet", "."], "git_clone_failed", options);
    expect(statSync(join(workspace, ".git/config")).uid).toBe(Number(USER));
    const url = `data:application/zip;base64,${Buffer.from("PK").toString("base64")}`;
    const attachments = [{ filename: "a.zip", mediaType: "application/zip", url }];
    attachmentParts(attachments, { workspace, attemptId: "att_1" });
    for (const path of [".valet", ".valet/.gitignore", ".valet/attachments/att_1/1-a.zip"]) {
      expect(statSync(join(workspace, path)).uid).toBe(Number(USER));
    }
  });
});
