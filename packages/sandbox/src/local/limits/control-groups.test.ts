/** Makes control groups with the real kernel where it lets this user, and otherwise says that it is skipped. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { temporaryFolder } from "../../../test/broker.ts";
import { ControlGroups } from "./control-groups.ts";
import { membersOf } from "./group-files.ts";

const LIMITS = { memoryBytes: 512 * 1024 * 1024, cpus: 1, processes: 64, diskBytes: 1e9, openFiles: 1000 };

/** What this machine lets this user limit. */
const trialFolder = mkdtempSync(join(tmpdir(), "valet-limits-"));
const trial = await ControlGroups.open(trialFolder, "trial", LIMITS);
await trial.close();
rmSync(trialFolder, { recursive: true });
const isPossible = trial.applied.processes !== "none";

async function open(stateDir: string, brokerId: string): Promise<ControlGroups> {
  const groups = await ControlGroups.open(stateDir, brokerId, LIMITS);
  onTestFinished(() => groups.close());
  return groups;
}

/** Returns a folder of the sandbox's group. */
function folderOf(group: ReturnType<ControlGroups["create"]>): string {
  const folder = group?.version === 2 ? group.path : group?.pids;
  if (folder === undefined) throw new Error("no group");
  return folder;
}

function sleeperIn(folder: string): ChildProcess {
  const child = spawn("/bin/sh", ["-c", `echo 0 >${join(folder, "cgroup.procs")}; exec sleep 60`]);
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

describe.skipIf(!isPossible)("control groups (skipped where none can be written)", () => {
  test("a sandbox's group has its limits, and goes with it", async () => {
    const groups = await open(temporaryFolder(), "sole");
    const folder = folderOf(groups.create("sb-1", LIMITS));
    expect(readFileSync(join(folder, "pids.max"), "utf8").trim()).toBe("64");
    // Idempotent, since an entrypoint may start again.
    expect(folderOf(groups.create("sb-1", LIMITS))).toBe(folder);
    await groups.remove("sb-1");
    expect(existsSync(folder)).toBe(false);
    await groups.remove("sb-1");
  });

  test("what still runs in a group ends with it", async () => {
    const groups = await open(temporaryFolder(), "sole");
    const folder = folderOf(groups.create("sb-1", LIMITS));
    const child = sleeperIn(folder);
    await vi.waitFor(() => expect(membersOf(folder)).toEqual([child.pid]), 20_000);
    await groups.remove("sb-1");
    await vi.waitFor(() => expect(child.signalCode).toBe("SIGKILL"), 20_000);
    expect(existsSync(folder)).toBe(false);
  });

  test("a broker that died leaves groups and processes, which the next one on its state directory removes", async () => {
    const stateDir = temporaryFolder();
    const dead = await ControlGroups.open(stateDir, "dead", LIMITS);
    const folder = folderOf(dead.create("sb-1", LIMITS));
    const child = sleeperIn(folder);
    await vi.waitFor(() => expect(membersOf(folder)).toHaveLength(1), 20_000);
    const other = await open(temporaryFolder(), "elsewhere");
    const others = folderOf(other.create("sb-2", LIMITS));
    await open(stateDir, "next");
    expect(existsSync(folder)).toBe(false);
    await vi.waitFor(() => expect(child.signalCode).toBe("SIGKILL"), 20_000);
    // And nobody else's.
    expect(existsSync(others)).toBe(true);
  });

  test("the guardian of a dead broker touches nothing of the next one, which is there before it", async () => {
    const stateDir = temporaryFolder();
    const dead = await ControlGroups.open(stateDir, "dead", LIMITS);
    dead.create("sb-1", LIMITS);
    const next = await open(stateDir, "next");
    const folder = folderOf(next.create("sb-1", LIMITS));
    const child = sleeperIn(folder);
    await vi.waitFor(() => expect(membersOf(folder)).toEqual([child.pid]), 20_000);
    await guardianOf(stateDir, "dead");
    expect(membersOf(folder)).toEqual([child.pid]);
    await guardianOf(stateDir, "next");
    expect(existsSync(folder)).toBe(false);
  });

  test("guardians and the next broker may all remove the same groups at once", async () => {
    const stateDir = temporaryFolder();
    const dead = await ControlGroups.open(stateDir, "dead", LIMITS);
    const folders = Array.from({ length: 20 }, (_, n) => folderOf(dead.create(`sb-${n}`, LIMITS)));
    const children = folders.map(sleeperIn);
    await vi.waitFor(() => expect(folders.map((each) => membersOf(each).length)).toEqual(folders.map(() => 1)), 20_000);
    const [, , next] = await Promise.all([
      guardianOf(stateDir, "dead"),
      guardianOf(stateDir, "dead"),
      open(stateDir, "next"),
    ]);
    expect(folders.filter((each) => existsSync(each))).toEqual([]);
    await vi.waitFor(() => expect(children.every(({ signalCode }) => signalCode === "SIGKILL")).toBe(true), 20_000);
    expect(next.applied).toEqual(trial.applied);
    expect(existsSync(folderOf(next.create("sb-1", LIMITS)))).toBe(true);
  });
});

/** Runs what the shell executes that outlives a broker. */
async function guardianOf(stateDir: string, brokerId: string): Promise<void> {
  mkdirSync(join(stateDir, "sandboxes"), { recursive: true });
  const program = fileURLToPath(new URL("../guardian.ts", import.meta.url));
  const child = spawn(process.execPath, [program, stateDir, brokerId], { stdio: "inherit" });
  expect(await once(child, "exit")).toEqual([0, null]);
}

describe("where nothing can be made", () => {
  test("there are no groups and no limits, and everything else works", async () => {
    const groups = await ControlGroups.open(temporaryFolder(), "sole", LIMITS, []);
    expect(groups.applied).toEqual({ memory: "none", cpu: "none", processes: "none" });
    expect(groups.create("sb-1", LIMITS)).toBeUndefined();
    await groups.remove("sb-1");
    await groups.close();
  });

  test("a folder that is no control group counts as none, and nothing stays behind in it", async () => {
    const top = temporaryFolder();
    const hierarchy = { version: 1, controllers: ["pids"], top, own: top } as const;
    const groups = await ControlGroups.open(temporaryFolder(), "sole", LIMITS, [hierarchy]);
    expect(groups.applied.processes).toBe("none");
    expect(readdirSync(top)).toEqual([]);
  });
});

describe("what cannot be removed", () => {
  // A folder that stands for a group and has a file of its own, unlike the kernel's, cannot be removed.
  test("stays known, for the next broker", async () => {
    const [stateDir, top] = [temporaryFolder(), temporaryFolder()];
    const place = join(top, "valet-0123456789ab");
    mkdirSync(place);
    writeFileSync(join(place, "file"), "");
    writeFileSync(join(stateDir, "control-groups.json"), JSON.stringify([place, top]));
    const hierarchy = { version: 1, controllers: ["pids"], top, own: top } as const;
    await ControlGroups.open(stateDir, "second", LIMITS, [hierarchy]);
    rmSync(join(place, "file"));
    await ControlGroups.open(stateDir, "third", LIMITS, [hierarchy]);
    expect(readdirSync(top)).toEqual([]);
  });
});

describe("version 2, on folders that stand for the kernel's", () => {
  /** A group whose files exist; in those below it the kernel would make them. */
  function groupIn(folder: string, controllers: string, enabled: string): void {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "cgroup.type"), "domain\n");
    writeFileSync(join(folder, "cgroup.controllers"), `${controllers}\n`);
    writeFileSync(join(folder, "cgroup.subtree_control"), `${enabled}\n`);
    writeFileSync(join(folder, "cgroup.procs"), "");
  }

  test("without controllers to hand down there is none", async () => {
    const top = temporaryFolder();
    groupIn(top, "", "");
    const groups = await ControlGroups.open(temporaryFolder(), "sole", LIMITS, [
      { version: 2, controllers: [], top, own: top },
    ]);
    expect(groups.applied).toEqual({ memory: "none", cpu: "none", processes: "none" });
    expect(existsSync(join(top, "valet-broker"))).toBe(false);
  });

  test("a group with others' processes is not emptied", async () => {
    const top = temporaryFolder();
    groupIn(top, "memory pids", "");
    // An orphan's parent is the parent of all processes, or another that is no descendant of this one.
    const other = Number(execFileSync("/bin/sh", ["-c", "sleep 60 >/dev/null 2>&1 & echo $!"], { encoding: "utf8" }));
    onTestFinished(() => void process.kill(other));
    writeFileSync(join(top, "cgroup.procs"), `${process.pid}\n${other}\n`);
    await ControlGroups.open(temporaryFolder(), "sole", LIMITS, [{ version: 2, controllers: [], top, own: top }]);
    expect(existsSync(join(top, "valet-broker"))).toBe(false);
  });

  test("a group with the broker's own processes is emptied first, though cpu and pids could be enabled with them", async () => {
    const top = temporaryFolder();
    // What is written to a file that is none of the kernel's goes to its beginning, and leaves these.
    groupIn(top, "cpu memory pids", `${" ".repeat(20)}cpu pids`);
    groupIn(join(top, "valet-broker"), "", "");
    writeFileSync(join(top, "cgroup.procs"), `${process.pid}\n`);
    await ControlGroups.open(temporaryFolder(), "sole", LIMITS, [{ version: 2, controllers: [], top, own: top }]);
    expect(readFileSync(join(top, "valet-broker", "cgroup.procs"), "utf8")).toBe(`${process.pid}`);
  });

  test("the root of all groups, which may have processes and groups with controllers, is not emptied", async () => {
    const top = temporaryFolder();
    groupIn(top, "cpu memory pids", "cpu pids");
    rmSync(join(top, "cgroup.type"));
    groupIn(join(top, "valet-broker"), "", "");
    writeFileSync(join(top, "cgroup.procs"), `${process.pid}\n`);
    await ControlGroups.open(temporaryFolder(), "sole", LIMITS, [{ version: 2, controllers: [], top, own: top }]);
    expect(readFileSync(join(top, "valet-broker", "cgroup.procs"), "utf8")).toBe("");
  });
});
