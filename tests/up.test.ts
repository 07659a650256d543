/** `valet up` as a process of its own: its output, its files, and its restart after it was killed. */
import { existsSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { childrenOf } from "./processes.ts";
import { runInProcess } from "./run-in-process.ts";
import { run, startUp, temporaryState } from "./up-process.ts";
import { CLI, endUp, type UpProcess } from "./valet-up.ts";

function workerdCount(parentPid: number): number {
  return childrenOf(parentPid).filter((pid) => readlinkSync(`/proc/${pid}/exe`).endsWith("/workerd")).length;
}

async function listSessions({ url, token }: UpProcess): Promise<number> {
  return (await fetch(`${url}/api/sessions`, { headers: { authorization: `Bearer ${token}` } })).status;
}

test("`valet up` prints one line when it is ready, is found by other commands and starts; killed, it continues with the same token; it stops all on SIGTERM", async () => {
  const state = temporaryState();
  const first = await startUp(state);
  expect(await listSessions(first)).toBe(200);
  expect(workerdCount(first.pid)).toBe(1);
  expect(await run(["--state", state, "sessions", "--json"])).toMatchObject({ code: 0, stdout: '{"sessions":[]}\n' });
  const second = await run(["--state", state, "up"]);
  expect(second).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(`Valet already runs on ${state} at ${first.url}.`),
  });

  await endUp(first, "SIGKILL");
  const third = await startUp(state);
  expect(third.token).toBe(first.token);
  expect(await listSessions(third)).toBe(200);
  // The first system's orphaned workerd is gone: nothing answers at its address.
  if (third.url !== first.url) await expect(fetch(first.url)).rejects.toThrow();
  for (const args of [
    ["turns", "nope"],
    ["turns", "nope", "--stats"],
    ["status", "nope"],
    ["diff", "nope"],
  ]) {
    const stderr =
      "valet: No session has an id that begins with nope. See `valet sessions`. By a title or repository: `valet sessions --search <words>`.\n";
    expect([args, await runInProcess("--state", state, ...args)]).toMatchObject([args, { code: 2, stderr }]);
  }
  expect(await endUp(third)).toBe(0);
  await expect(fetch(third.url)).rejects.toThrow();
}, 120_000);

test("`valet up` says at once that nothing is exported, or that the backend takes no spans, and goes on; `doctor` exits with 1", async () => {
  const state = temporaryState();
  const env = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: "localhost:4318" };
  const misconfigured = await startUp(state, { env });
  // It is said before the line that it is ready, but in another stream.
  await expect
    .poll(misconfigured.log)
    .toMatch(/TELEMETRY IS MISCONFIGURED: OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL/);
  expect(await run(["--state", state, "doctor"], { env })).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(
      /^missing +OTEL_EXPORTER_OTLP_ENDPOINT: .*nothing is exported until it is corrected/m,
    ),
  });
  expect(await endUp(misconfigured)).toBe(0);

  const nobody = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:2" };
  const noBackend = await startUp(state, { env: nobody });
  await expect.poll(noBackend.log).toMatch(/THE BACKEND TAKES NO SPANS: 127\.0\.0\.1:2: .*nothing listens there/);
  expect(await endUp(noBackend)).toBe(0);
}, 120_000);

describe("bad input", () => {
  test.each<[string, string[], string]>([
    ["no command", ["nonsense"], "unknown command"],
    ["a bad port", ["up", "--port", "99999"], "A port is 1 to 65535."],
    ["a URL without a token", ["sessions", "--url", "http://127.0.0.1:1"], "Pass that Valet's token too"],
    ["nothing running", ["--state", "/nonexistent", "sessions"], "Nothing runs on /nonexistent"],
    [
      "no file",
      ["workflow", "ses_x", "/nonexistent.json", "--url", "http://127.0.0.1:1", "--token", "x"],
      "There is no file /nonexistent.json. Give the path of a JSON file",
    ],
    [
      "a folder",
      ["workflow", "ses_x", "/", "--url", "http://127.0.0.1:1", "--token", "x"],
      "/ is a folder. Give the path of a JSON file",
    ],
    ["not JSON", ["workflow", "ses_x", CLI, "--url", "http://127.0.0.1:1", "--token", "x"], "is not valid JSON"],
    ["nothing listening", ["sessions", "--url", "http://127.0.0.1:1", "--token", "x"], "does not answer"],
  ])("%s exits with 2 and says what is wrong", async (_what, args, message) => {
    const { code, stdout, stderr } = await runInProcess(...args);
    expect(stderr).toContain(message);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  test("`up` with an invalid variable exits with 2 and names it before it starts anything", async () => {
    const state = join(temporaryState(), "new");
    const env = { ...process.env, VALET_MODEL_PRICES: "abc" };
    const { code, stdout, stderr } = await run(["--state", state, "up"], { env });
    expect(stderr).toContain("valet: VALET_MODEL_PRICES: ");
    expect(stdout).toBe("");
    expect(code).toBe(2);
    expect(existsSync(state)).toBe(false);
  });

  test("`up` looks for the engine's certificates where the environment says, and names what cannot be read", async () => {
    const [state, DOCKER_CERT_PATH] = [temporaryState(), temporaryState()];
    const env = { ...process.env, DOCKER_HOST: "tcp://127.0.0.1:1", DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH };
    const { code, stderr } = await run(["--state", state, "up", "--driver", "docker"], { env });
    expect(stderr).toMatch(/certificates of the container engine cannot be read .*ENOENT.*DOCKER_CERT_PATH/);
    expect(code).toBe(2);
  });
});
