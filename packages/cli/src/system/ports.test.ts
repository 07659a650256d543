import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { PortTakenError, startOnPort } from "./ports.ts";

/** As another program does that takes a port. */
async function take(port: number): Promise<void> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
}

/** As a server does that listens a while after its port was chosen. */
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

test("a free port that another program takes first is followed by another", async () => {
  const tried: number[] = [];
  const port = await startOnPort(undefined, async (free) => {
    tried.push(free);
    if (tried.length < 3) await take(free);
    return listen(free);
  });
  expect(tried).toHaveLength(3);
  expect(port).toBe(tried[2]);
});

test("a port that somebody asked for is that one or none", async () => {
  const wanted = await startOnPort(undefined, async (port) => port);
  const tried: number[] = [];
  const start = startOnPort(wanted, async (port) => {
    tried.push(port);
    await take(port);
    return listen(port);
  });
  await expect(start).rejects.toThrow(`Port ${wanted} is taken.`);
  expect(tried).toEqual([wanted]);
});

test("other failures of a start are not tried again, and ports are not tried for ever", async () => {
  let starts = 0;
  const fail = (error: Error) => () => {
    starts++;
    return Promise.reject(error);
  };
  await expect(startOnPort(undefined, fail(new Error("broken")))).rejects.toThrow("broken");
  expect(starts).toBe(1);
  await expect(startOnPort(undefined, fail(new PortTakenError(1)))).rejects.toThrow("Port 1 is taken.");
  expect(starts).toBe(11);
});
