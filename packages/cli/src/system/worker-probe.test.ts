import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { probeWorker } from "./worker-probe.ts";

/** Starts a server that answers a probe by its number, or hangs. */
async function startServer(answers: (question: number) => boolean) {
  let questions = 0;
  const server = createServer((_request, response) => {
    if (answers(++questions)) response.writeHead(503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, probes: () => questions };
}

/** Probes this many times. @returns how often the Worker counted as hanging */
async function probe(url: string, isOver: () => boolean): Promise<number> {
  const end = new AbortController();
  let hung = 0;
  const options = { intervalMs: 1, timeoutMs: 50, signal: end.signal, onHung: () => void hung++ };
  const ask = async (signal: AbortSignal) => {
    if (isOver()) end.abort();
    await fetch(url, { signal });
  };
  await probeWorker({ ...options, ask });
  return hung;
}

test("a Worker that answers, even with an error, does not hang", async () => {
  const server = await startServer(() => true);
  expect(await probe(server.url, () => server.probes() >= 20)).toBe(0);
});

test("a Worker that misses a probe now and then does not hang", async () => {
  const server = await startServer((question) => question % 3 === 0);
  expect(await probe(server.url, () => server.probes() >= 9)).toBe(0);
});

test("a Worker that misses three probes in a row hangs", async () => {
  const server = await startServer((question) => question > 3);
  expect(await probe(server.url, () => server.probes() >= 8)).toBe(1);
});

test("a refused connection is a crash, which is handled elsewhere", async () => {
  let probes = 0;
  expect(await probe("http://127.0.0.1:1", () => ++probes > 10)).toBe(0);
});
