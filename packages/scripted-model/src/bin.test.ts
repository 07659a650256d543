import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const start = (...args: string[]) => spawn(process.execPath, [file("bin.ts"), ...args]);

test.each(["SIGINT", "SIGTERM"] as const)(
  "serves, prints its URL, and stops on %s while a request is open",
  async (signal) => {
    const child = start("--scenario", file("../scenarios/failures.yaml"));
    const exited = once(child, "exit");
    const [line] = await once(createInterface(child.stdout), "line");
    const { url } = JSON.parse(line);
    const body = JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content: "hang" }] });
    const response = await fetch(`${url}/chat/completions`, { method: "POST", body });
    expect(response.status).toBe(200);
    const broken = expect(response.text()).rejects.toThrow();
    child.kill(signal);
    expect(await exited).toEqual([0, null]);
    await broken;
  },
);

test.each([
  ["without a scenario", [], "--scenario FILE is missing"],
  ["with a missing scenario file", ["--scenario", "no/such.yaml"], "no/such.yaml: ENOENT"],
  ["with a bad port", ["--port", "http", "--scenario", "x"], "port"],
  ["with an unknown option", ["--verbose"], "Unknown option '--verbose'"],
])("%s it prints the reason and exits with 2", async (_, args, message) => {
  const child = start(...args);
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  expect(code).toBe(2);
  expect(errors).toContain(message);
});
