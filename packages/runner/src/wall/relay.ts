/** Passes connections on: what connects to one place is connected to another. */
import { rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { z } from "zod";

/** Where a relay listens, or where it connects to: a Unix socket, or a TCP port. */
export const Endpoint = z.union([z.object({ path: z.string() }), z.object({ host: z.string(), port: z.number() })]);
export type Endpoint = z.infer<typeof Endpoint>;

export interface Relay {
  /** Ends it with all of its connections. */
  stop(): void;
}

/** Connections beyond are closed at once, so that whoever opens many exhausts nothing but its own relay. */
const MAX_OPEN = 256;

/** Starts a relay. A socket file that an earlier one has left is replaced. @throws errors of listening */
export async function startRelay(from: Endpoint, to: Endpoint, maxOpen = MAX_OPEN): Promise<Relay> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    if (open.size >= maxOpen) {
      near.destroy();
      return;
    }
    open.add(near);
    const far = connect({ ...to, allowHalfOpen: true });
    const end = () => {
      open.delete(near);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      socket.on("error", end);
      socket.on("close", end);
      if ("port" in from && "port" in to) socket.setNoDelay();
    }
    near.pipe(far);
    far.pipe(near);
    near.resume();
  });
  if ("path" in from) rmSync(from.path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(from, () => resolve());
  });
  return {
    stop() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
