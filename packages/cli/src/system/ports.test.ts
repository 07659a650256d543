import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { PortTakenError, startOnPort } from "./ports.ts";

/** Takes a port, as another program does. */
async function take(port: number): Promise<void> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
}

/** Listens on a port that was chosen earlier, as a server does. */
async function listen(port: number): Promise<number> {
  const server = createServer().listen(port, "127.0.0.1");
  onTestFinished(() => void server.close());
  try {
    await once(server, "listening");
  } catch {
    throw new PortTakenError(port);
  }
  return (server.address() as AddressInfo).port;
}

test("when another program takes the free port first, another port is tried", async () => {
  const tried: number[] = [];
  const port = await startOnPort(undefined, async (free) => {
    tried.push(free);
    if (tried.length < 3) await take(free);
    return listen(free);
  });
  expect(tried).toHaveLength(3);
  expect(port).toBe(tried[2]);
});

test("a requested port is not replaced by another", async () => {
  const wanted = await startOnPort(undefined, async (port) => port);
  const tried: number[] = [];
  const start = startOnPort(wanted, async (port) => {
    tried.push(port);
    await take(port);
    return listen(port);
  });
  await expect(start).rejects.toThrow(`Port ${wanted} is in use.`);
  expect(tried).toEqual([wanted]);
});

test("other failures of a start are not retried, and the number of ports tried is bounded", async () => {
  let starts = 0;
  const fail = (error: Error) => () => {
    starts++;
    return Promise.reject(error);
  };
  await expect(startOnPort(undefined, fail(new Error("broken")))).rejects.toThrow("broken");
  expect(starts).toBe(1);
  await expect(startOnPort(undefined, fail(new PortTakenError(1)))).rejects.toThrow("Port 1 is in use.");
  expect(starts).toBe(11);
});
