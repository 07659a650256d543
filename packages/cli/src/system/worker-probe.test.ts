import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { probeWorker } from "./worker-probe.ts";

type Ask = (signal: AbortSignal) => Promise<unknown>;

/** A Worker that answers a probe by its number at once, however long this machine pauses, or not at all. */
function workerThat(answers: (question: number) => boolean) {
  let questions = 0;
  const ask: Ask = (signal) =>
    answers(++questions)
      ? Promise.resolve(new Response(null, { status: 503 }))
      : new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  return { ask, probes: () => questions };
}

/** Probes until it is over. @returns how often the Worker counted as hanging */
async function probe(ask: Ask, isOver: () => boolean, timeoutMs = 50): Promise<number> {
  const end = new AbortController();
  let hung = 0;
  await probeWorker({
    intervalMs: 1,
    timeoutMs,
    signal: end.signal,
    onHung: () => void hung++,
    ask: async (signal) => {
      await ask(signal);
      if (isOver()) end.abort();
    },
  });
  return hung;
}

test("a Worker that answers, even with an error, does not hang", async () => {
  const worker = workerThat(() => true);
  expect(await probe(worker.ask, () => worker.probes() >= 20)).toBe(0);
});

test("a Worker that misses a probe now and then does not hang", async () => {
  const worker = workerThat((question) => question % 3 === 0);
  expect(await probe(worker.ask, () => worker.probes() >= 9)).toBe(0);
});

test("a Worker that misses three probes in a row hangs", async () => {
  const worker = workerThat((question) => question > 3);
  expect(await probe(worker.ask, () => worker.probes() >= 8)).toBe(1);
});

test("a real server that hangs is aborted, and misses its probes", async () => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let probes = 0;
  const ask: Ask = (signal) => (++probes > 3 ? Promise.resolve() : fetch(url, { signal }));
  expect(await probe(ask, () => probes > 3)).toBe(1);
});

test("a refused connection is a crash, which is handled elsewhere", async () => {
  let probes = 0;
  const ask: Ask = (signal) => {
    if (++probes > 10) return Promise.resolve();
    return fetch("http://127.0.0.1:1", { signal });
  };
  expect(await probe(ask, () => probes > 10, 20_000)).toBe(0);
});
