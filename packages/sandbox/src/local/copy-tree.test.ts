/** What snapshots and restores can copy, as an ordinary user. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type BrokerProcess, STAY, startOrdinaryBroker, waitFor } from "../../test/broker.ts";

/** Starts a sandbox, runs a script in its workspace, takes a snapshot, and creates another sandbox from it. */
async function snapshotOf(script: string) {
  const broker = await startOrdinaryBroker();
  const sandbox = await broker.create("s1", `${script}\n touch ready; ${STAY}`);
  await waitFor(() => broker.read("s1", "workspace/ready") === "");
  const taken = await broker.call("POST", `/v1/sandboxes/${sandbox.id}/snapshot`);
  return { broker, sandbox, taken };
}

async function restore(broker: BrokerProcess, snapshotId: string, script: string): Promise<string> {
  await broker.create("s1", `{ ${script}\n } > "$TMPDIR/out" 2>&1; touch "$TMPDIR/done"; ${STAY}`, {
    generation: 2,
    snapshotId,
  });
  await waitFor(() => broker.read("s1", "tmp/done") === "");
  return broker.read("s1", "tmp/out");
}

const manifestOf = (broker: BrokerProcess, snapshotId: string) =>
  JSON.parse(readFileSync(join(broker.stateDir, "snapshots", snapshotId, "snapshot.json"), "utf8"));

test("nested files and folders without any permission, and folders without write permission", async () => {
  const { broker, taken } = await snapshotOf(`
    mkdir -p a/b/c ro/in; echo deep > a/b/c/f; echo flat > a/g; echo x > ro/in/x; echo name > "$(printf 'a/odd\\n\\377 name')"
    chmod 000 a/b/c/f a/g a/odd*; chmod 000 a/b/c a/b; chmod 555 ro/in ro`);
  expect(taken).toMatchObject({ status: 201, body: { leftOut: 0 } });
  // The sandbox's own files are unchanged.
  expect(lstatSync(join(broker.folder("s1"), "workspace/a/b")).mode & 0o777).toBe(0);
  const out = await restore(
    broker,
    taken.body.snapshotId,
    `stat -c %a a/g a/b ro ro/in; chmod 700 a/b; stat -c %a a/b/c; chmod 700 a/b/c; stat -c %a a/b/c/f
     chmod 400 a/b/c/f a/g a/odd*; cat a/b/c/f a/g ro/in/x a/odd*`,
  );
  expect(out.split("\n")).toEqual(["0", "0", "555", "555", "0", "0", "deep", "flat", "x", "name", ""]);
});

test("a path four times the maximum length, with its modes, and its siblings", {
  timeout: 60_000,
}, async () => {
  const dig = `const fs = require("fs");
    for (let level = 1; level <= 1200; level++) {
      fs.mkdirSync("a-long-name"); process.chdir("a-long-name");
      if (level === 900) { fs.writeFileSync("half", "half"); fs.chmodSync(".", 0o700); }
    }
    fs.writeFileSync("bottom", "bottom", { mode: 0 }); fs.symlinkSync("nowhere", "link");`;
  const { broker, taken } = await snapshotOf(`echo beside > beside; ${process.execPath} -e '${dig}'`);
  expect(taken).toMatchObject({ status: 201, body: { leftOut: 0 } });
  const look = `const fs = require("fs"); const seen = []; let level = 0;
    for (; fs.existsSync("a-long-name"); level++) {
      process.chdir("a-long-name");
      if (fs.existsSync("half")) seen.push(level + 1, fs.readFileSync("half", "utf8"), (fs.statSync(".").mode & 0o777).toString(8));
    }
    seen.push(level, (fs.statSync("bottom").mode & 0o777).toString(8), fs.readlinkSync("link"));
    fs.chmodSync("bottom", 0o400);
    console.log(JSON.stringify([...seen, fs.readFileSync("bottom", "utf8")]));`;
  const out = await restore(broker, taken.body.snapshotId, `cat beside; ${process.execPath} -e '${look}'`);
  expect(out).toBe('beside\n[900,"half","700",1200,"0","nowhere","bottom"]\n');
  expect((await broker.call("DELETE", `/v1/snapshots/${taken.body.snapshotId}`)).body).toEqual({ alreadyGone: false });
  expect(existsSync(join(broker.stateDir, "snapshots", taken.body.snapshotId))).toBe(false);
});

test("sockets are left out and named, FIFOs and hard links across the kept folders are kept, and no process blocks on a FIFO", async () => {
  const { broker, taken } = await snapshotOf(`
    mkfifo fifo; echo one > one; ln one two; ln one "$HOME/three"
    ${process.execPath} -e 'require("net").createServer().listen("socket", () => process.kill(process.pid, "SIGKILL"))'; true`);
  expect(taken).toMatchObject({ status: 201, body: { leftOut: 1 } });
  expect(manifestOf(broker, taken.body.snapshotId)).toMatchObject({
    leftOutCount: 1,
    leftOut: [{ why: "special", path: "workspace/socket" }],
  });
  const out = await restore(
    broker,
    taken.body.snapshotId,
    'ls; [ -p fifo ] && [ one -ef two ] && [ one -ef "$HOME/three" ] && echo same',
  );
  expect(out.split("\n")).toEqual(["fifo", "inputs.jsonl", "one", "ready", "two", "same", ""]);
});

describe("a replaced folder fails the snapshot, and the sandbox keeps its files", () => {
  test.each(["workspace", "home"])("%s replaced by a link", async (folder) => {
    const broker = await startOrdinaryBroker();
    const { id } = await broker.create("s1", STAY);
    const path = join(broker.folder("s1"), folder);
    const elsewhere = join(broker.stateDir, "elsewhere");
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, "secret"), "somebody else's");
    renameSync(path, `${path}.own`);
    symlinkSync(elsewhere, path);
    expect(await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).toMatchObject({
      status: 500,
      body: { code: "snapshot_failed", detail: `the sandbox's ${folder} is no longer a folder` },
    });
    rmSync(path);
    renameSync(`${path}.own`, path);
    expect((await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).status).toBe(201);
  });
});
