/** Engines that accept connections and do not answer. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { SECRET } from "../../test/broker.ts";
import { startDockerBroker } from "../index.ts";
import { callLimitMs } from "./call-limits.ts";
import { connectEngine, describeEngineError } from "./engine.ts";

async function serve(server: Server): Promise<string> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("an engine that does not begin to answer, or does not end its answer, is given up, by name", async () => {
  for (const answer of ["nothing", "half"]) {
    const host = await serve(
      createServer((_, response) => {
        if (answer === "half") response.writeHead(200, { "content-length": 9 }).write("{");
      }),
    );
    const engine = connectEngine(host, 100);
    const error = await engine.listContainers().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: "EngineTimeout" });
    expect(describeEngineError(error)).toBe("the engine does not answer (no answer within 0.1 s)");
  }
});

test("what an engine is asked has a limit, but for what somebody else ends", () => {
  expect(callLimitMs("GET", "/_ping")).toBe(5000);
  expect(callLimitMs("GET", "/containers/json?all=true")).toBe(20_000);
  expect(callLimitMs("DELETE", "/volumes/x")).toBe(60_000);
  expect(callLimitMs("POST", "/containers/x/stop?t=5")).toBeGreaterThan(20_000);
  expect(callLimitMs("POST", "/containers/x/wait?")).toBeUndefined();
  expect(callLimitMs("POST", "/build?t=x")).toBeUndefined();
});

test("a broker whose engine hangs does not start, and says why", async () => {
  const engine = await serve(createServer(() => {}));
  const options = { secret: SECRET, entrypoint: ["true"] as [string], engine, image: "none", scope: "hangs" };
  await expect(startDockerBroker({ ...options, onError: () => {} })).rejects.toThrow(
    /engine cannot be reached: the engine does not answer \(no answer within 5 s\)/,
  );
}, 15_000);
