/** What a user is told of an engine that cannot be used. */
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { runProgram, temporaryFolder } from "../../test/broker.ts";

const ARGUMENTS = ["--driver", "docker", "--image", "none", "--scope", "unusable", "--", "true"];
const NOBODY = 65_534;

/** Returns what the broker's program says when it ends at its start. */
async function startWith(env: Record<string, string>, user?: number): Promise<string> {
  // That user's home cannot hold Node.js's cache.
  const program = runProgram(ARGUMENTS, { NODE_COMPILE_CACHE: "", ...env }, user);
  if (program.stderr === null) throw new Error("no output");
  const [said, [code]] = await Promise.all([text(program.stderr), once(program, "exit")]);
  expect(code).toBe(2);
  return said;
}

test("an engine that is not there: install one, or start Podman's service", async () => {
  expect(await startWith({ DOCKER_HOST: "unix:///nonexistent/engine.sock" })).toMatch(
    /cannot be reached: .*ENOENT.*Install and start Docker, or run `podman system service .*` as root and set DOCKER_HOST/,
  );
});

test.skipIf(process.getuid?.() !== 0)("an engine that this user may not use: be root, or in its group", async () => {
  const socket = join(temporaryFolder(), "engine.sock");
  const server = createServer();
  await once(server.listen(socket), "listening");
  onTestFinished(() => void server.close());
  const said = await startWith({ DOCKER_HOST: `unix://${socket}` }, NOBODY);
  expect(said).toMatch(/cannot be reached: .*EACCES.*as root or as a member of the group `docker`/);
  expect(said).not.toContain("Install");
});
