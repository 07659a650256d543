/** Snapshots of containers with files that are hard to copy. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SnapshotAnswer } from "@valet/shared/protocol/sandbox-broker";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { SECRET, STAY, temporaryFolder, testBroker, waitFor } from "../../test/broker.ts";
import { describeOneEngine, startEngine, type TestEngine } from "../../test/engine.ts";
import { startDockerBroker } from "../index.ts";

const IMAGE = "valet-test";

/** Describes all files of the workspace but the entrypoint's own: names, types, modes, links, owners, times, sizes and blocks. */
const DESCRIBE = String.raw`cd /sandbox/workspace; export LC_ALL=C
find . -mindepth 1 ! -name inputs.jsonl -printf '%d %f %y %m %n %U:%G %l %T@ ' \( ! -type d -printf '%s %b' -o -true \) -printf '\0' | sort -z`;

describeOneEngine("a sandbox whose files are hard to copy", (name) => {
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await startEngine(name);
    const entrypoint = fileURLToPath(new URL("../../test/container-entrypoint.sh", import.meta.url));
    const programs = ["/usr/bin/mkfifo", "/usr/bin/truncate"];
    await engine.makeImage(IMAGE, { files: { "/usr/local/bin/entrypoint": entrypoint }, programs });
  }, 60_000);
  afterAll(() => engine?.close(), 60_000);

  const inside = (id: string, script: string) => engine.run("exec", id, "bash", "-c", script);

  test("is snapshotted and restored with all but its sockets, which are counted", async () => {
    const server = await startDockerBroker({
      secret: SECRET,
      entrypoint: ["/bin/bash", "/usr/local/bin/entrypoint"],
      engine: engine.host,
      image: IMAGE,
      scope: "hard",
      maxSandboxes: 10,
    });
    onTestFinished(() => server.close());
    const broker = testBroker(server.url, "");
    const script = String.raw`
      name=$(printf 'd%.0s' {1..200})
      (for ((each = 0; each < 25; each++)); do mkdir "$name"; cd -P "$name"; done; echo deep > file; ln file link; mkfifo fifo)
      mkdir shared; chmod 2750 shared; chown 1234:1235 shared; touch $'odd\n\377'
      truncate -s 64M sparse; echo end >> sparse
      touch ready; ${STAY}`;
    const { id } = await broker.create("h1", script);
    await waitFor(() => inside(id, "ls /sandbox/workspace/ready"));
    const before = inside(id, DESCRIBE);
    expect(before).toContain("shared d 2750 2 1234:1235");
    expect(before).toMatch(/\d+ fifo p .*\d+ file f 644 2 /s);
    const [{ Source = "" } = {}] = (await engine.engine.getContainer(id).inspect()).Mounts;
    const socket = join(temporaryFolder(), "socket");
    await once(createServer().unref().listen(socket), "listening");
    // No program of the image makes one.
    execFileSync("cp", ["--archive", socket, join(Source, "workspace/socket")]);
    const taken = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`);
    expect(taken).toMatchObject({ status: 201, body: { leftOut: 1 } });
    const restored = await broker.create("h1", STAY, { generation: 2, snapshotId: taken.body.snapshotId });
    expect(inside(restored.id, DESCRIBE)).toBe(before);
    expect(inside(restored.id, "ls /sandbox/workspace")).not.toContain("socket");
    expect(SnapshotAnswer.parse(taken.body).sizeBytes).toBeGreaterThan(64 * 1024 * 1024);
  });
});
