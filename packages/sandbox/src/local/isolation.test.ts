import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { startBroker, waitFor } from "../../test/broker.ts";
import { chooseIsolation, findNoWall, WALL_PROBE } from "./isolation.ts";

const missing = await findNoWall();

test("no wall is built that nobody wants, without a word", async () => {
  const lines: string[] = [];
  expect(await chooseIsolation("none", (line) => lines.push(line))).toBe("none");
  expect(lines).toEqual([]);
});

describe.runIf(missing === undefined)("where bubblewrap works", () => {
  test("it is chosen unless something else is asked for", async () => {
    const fail = (line: string) => expect.fail(line);
    expect(await chooseIsolation(undefined, fail)).toBe("bwrap");
    expect(await chooseIsolation("bwrap", fail)).toBe("bwrap");
  });
});

/** Whom no file here belongs to. */
const ORDINARY = { uid: 65_533, gid: 65_533 };

test.runIf(missing === undefined && process.getuid?.() === 0)(
  "where bubblewrap works for root, the probe succeeds for an ordinary user, too (skipped for ordinary users, whom the others test)",
  async () => {
    const options = { ...ORDINARY, env: {} };
    // Otherwise this machine allows ordinary users no namespaces at all.
    const isAllowed = await promisify(execFile)("/usr/bin/unshare", ["--user", "true"], options).catch(() => undefined);
    if (isAllowed === undefined) return;
    await promisify(execFile)("/usr/bin/bwrap", [...WALL_PROBE], options);
  },
);

describe.runIf(missing !== undefined)("where bubblewrap does not work", () => {
  test("one loud line says so and how to get it, and who asks for it gets an error", async () => {
    const lines: string[] = [];
    expect(await chooseIsolation(undefined, (line) => lines.push(line))).toBe("none");
    expect(lines.join()).toContain("SANDBOXES ARE NOT ISOLATED");
    expect(lines.join()).toContain(missing?.remedy);
    await expect(chooseIsolation("bwrap", () => {})).rejects.toThrow(missing?.remedy);
  });
});

test("the entrypoint learns what to build, and the health check says it", async () => {
  const broker = await startBroker({ isolation: "bwrap" }).catch((error: Error) => error);
  if (broker instanceof Error) {
    expect(broker.message).toContain("cannot be isolated");
    return;
  }
  await broker.create("s1", 'echo "$VALET_ISOLATION" >isolation');
  await waitFor(() => broker.read("s1", "workspace/isolation") !== "");
  expect(broker.read("s1", "workspace/isolation")).toBe("bwrap\n");
  expect((await broker.call("GET", "/v1/health")).body).toMatchObject({ isolation: "bwrap" });
});
