/** A relay between real sockets: what arrives, and what is left when one side is slow, hostile or gone. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { startRelay } from "./relay.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** Enough for a server to have answered. */
const LATE_MS = 300;

/** Starts a relay by a Unix socket to a server with this behaviour. */
async function setUp(serve: (socket: Socket) => void, maxOpen?: number): Promise<{ path: string; server: Server }> {
  const folder = mkdtempSync(join(tmpdir(), "valet-relay-"));
  const path = join(folder, "socket");
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    serve(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const relay = await startRelay(
    { path },
    { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    maxOpen,
  );
  onTestFinished(() => {
    relay.stop();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { path, server };
}

function open(path: string): Socket {
  const socket = connect({ path, allowHalfOpen: true });
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

test("all of an answer arrives at a peer that has ended its own side, and reads late", async () => {
  const { path } = await setUp((socket) => {
    socket.once("data", (size: Buffer) => socket.end(Buffer.alloc(Number(size), 1)));
  });
  // Of some sizes all is on its way when the server closes its connection, the last of it within the relay.
  const sizes = Array.from({ length: 24 }, (_, n) => (n + 1) * 32 * KIB);
  const received = await Promise.all(
    sizes.map(async (size) => {
      const peer = open(path).pause();
      peer.end(`${size}`);
      await sleep(LATE_MS);
      let bytes = 0;
      peer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      await once(peer.resume(), "end");
      return bytes;
    }),
  );
  expect(received).toEqual(sizes);
});

test("a peer that sends without end to one that does not read is held up", async () => {
  const { path } = await setUp((socket) => socket.pause());
  const peer = open(path);
  let accepted = 0;
  const send = () => {
    while (accepted < 256 * MIB && peer.write(Buffer.alloc(64 * KIB))) accepted += 64 * KIB;
  };
  peer.on("drain", send);
  send();
  let before = -1;
  const isStill = () => {
    const isSame = accepted === before;
    before = accepted;
    return isSame;
  };
  await expect.poll(isStill, { interval: 200, timeout: 10_000 }).toBe(true);
  // What the kernel holds of three connections, and little more.
  expect(accepted).toBeLessThan(32 * MIB);
});

test("connections beyond the limit are closed, and there is room again once others have ended", async () => {
  const { path } = await setUp((socket) => socket.end("hello").resume(), 2);
  const held = [open(path), open(path)];
  for (const each of held) await once(each, "data");
  const refused = open(path);
  await once(refused.resume(), "end");
  expect(refused.bytesRead).toBe(0);
  for (const each of held) each.end();
  await expect
    .poll(async () => {
      const next = open(path);
      await once(next.resume(), "end");
      next.end();
      return next.bytesRead;
    })
    .toBe(5);
});
