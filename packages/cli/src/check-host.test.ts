import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockDirectory } from "@valet/sandbox";
import { describe, expect, onTestFinished, test } from "vitest";
import { findHost, stateOf } from "./check-host.ts";
import { UP_ROLE } from "./system/state-directory.ts";

const URL = "http://127.0.0.1:1";
const problem = { sessions: 1, waitingSpans: 3, since: "2026-01-01T00:00:00.000Z", reason: "HTTP 401" };

test.each([
  ["whose database answers", { export: { sessions: 0, waitingSpans: 0 } }, "ok", "runs at"],
  ["before its migrations", {}, "ok", "runs at"],
  ["whose disk is full", { database: "full" as const }, "missing", "its disk is full: make room"],
  ["whose database does not answer", { database: "unavailable" as const }, "missing", "its database does not answer"],
  ["whose spans do not arrive", { export: problem }, "missing", "HTTP 401; 3 are waiting"],
])("a host %s", (_what, health, state, detail) => {
  expect(stateOf(URL, { status: "ok", ...health })).toEqual({ state, detail: expect.stringContaining(detail) });
});

test("a host whose broker does not answer, also if spans wait, too", () => {
  const broker = "at http://127.0.0.1:2 within 5 s";
  for (const health of [{}, { export: problem }]) {
    const { state, detail } = stateOf(URL, { status: "ok", ...health }, broker);
    expect(state).toBe("missing");
    expect(detail).toContain(
      "sandbox broker, which is part of `valet up`, does not answer at http://127.0.0.1:2 within",
    );
  }
});

describe("a state directory whose `up` runs", () => {
  test.each([
    ["both answer", "worker", "broker", "ok", /runs at/],
    ["its broker hangs", "worker", "hangs", "missing", /sandbox broker.* does not answer at .* within 0\.2 s/],
    ["its broker is gone", "worker", "gone", "missing", /sandbox broker.* does not answer at .* \(no connection\)/],
    [
      "its broker's port is another program's",
      "worker",
      "other",
      "missing",
      /sandbox broker.* does not answer .* \(another program does\)/,
    ],
    ["its broker was not recorded", "worker", undefined, "ok", /runs at/],
    [
      "its Worker hangs",
      "hangs",
      "broker",
      "missing",
      /its Worker does not answer .* within 0\.2 s; its sandbox broker answers/,
    ],
    ["its Worker is gone", "gone", "broker", "missing", /its Worker does not answer .* \(no connection\)/],
    ["both hang", "hangs", "hangs", "missing", /its Worker does not answer .*; nor does its sandbox broker/],
  ] as const)("%s", async (_what, worker, broker, state, detail) => {
    const stateDir = await makePrivateState();
    const brokerUrl = broker && (await serve(broker));
    const connection = { url: await serve(worker), token: "t", ...(brokerUrl && { brokerUrl }) };
    writeFileSync(join(stateDir, "connection.json"), JSON.stringify(connection));
    const { finding } = await findHost(stateDir, 200);
    expect(finding).toMatchObject({ name: "system", state, detail: expect.stringMatching(detail) });
  });
});

test.each([
  ["that has died", { isStopped: false }, "missing", /ran on .* and ended without being stopped: start it again/],
  ["that was stopped", { isStopped: true }, "note", /nothing runs on/],
  ["of an older version, which did not note it", {}, "note", /nothing runs on/],
] as const)("a host %s", async (_what, more, state, detail) => {
  const stateDir = mkdtempSync(join(tmpdir(), "valet-host-"));
  onTestFinished(() => rmSync(stateDir, { recursive: true }));
  writeFileSync(join(stateDir, "connection.json"), JSON.stringify({ url: await serve("gone"), token: "t", ...more }));
  const { finding, uses } = await findHost(stateDir, 200);
  expect({ finding, uses }).toMatchObject({
    finding: { state, detail: expect.stringMatching(detail) },
    uses: undefined,
  });
});

/** Creates a state directory that this process has locked as `up` does. */
async function makePrivateState(): Promise<string> {
  const path = mkdtempSync(join(tmpdir(), "valet-host-"));
  const unlock = await lockDirectory(path, UP_ROLE);
  onTestFinished(() => {
    unlock?.();
    rmSync(path, { recursive: true });
  });
  return path;
}

const ANSWERS = {
  worker: JSON.stringify({ status: "ok" }),
  broker: JSON.stringify({ status: "ok", driver: "local" }),
  other: "<html>",
};

/** Starts a server that answers like a part of the host, or not at all. @returns its URL */
async function serve(as: keyof typeof ANSWERS | "hangs" | "gone"): Promise<string> {
  const server = createServer((_request, response) => {
    if (as !== "hangs") response.end(ANSWERS[as as keyof typeof ANSWERS]);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  if (as === "gone") close();
  else onTestFinished(close);
  return `http://127.0.0.1:${port}`;
}
