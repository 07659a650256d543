/** Passes connections on: what connects to one place is connected to another. */
import { rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";

/** Where a relay listens, or where it connects to: a Unix socket, or a TCP port. */
export type Endpoint = { readonly path: string } | { readonly host: string; readonly port: number };

export interface Relay {
  /** Ends it with all of its connections. */
  stop(): void;
}

/** Further connections are closed at once, so that whoever opens many exhausts nothing but its own relay. */
const MAX_OPEN = 256;

/** Starts a relay. A socket file that an earlier one has left is replaced. @throws errors of listening */
export async function startRelay(from: Endpoint, to: Endpoint, maxOpen = MAX_OPEN): Promise<Relay> {
  const open = new Set<Pair>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    if (open.size >= maxOpen) {
      near.destroy();
      return;
    }
    const far = connect({ ...to, allowHalfOpen: true });
    const pair = [near, far] as const;
    open.add(pair);
    for (const [socket, other] of [pair, [far, near]] as const) {
      socket.on("error", () => destroy(pair));
      socket.on("close", () => {
        // The peer of the other one may be slow, and have yet to read what this one has received.
        other.destroySoon();
        if (other.closed) open.delete(pair);
      });
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
  // A connection that cannot be accepted, for example since too many files are open, is that peer's loss.
  server.on("error", () => {});
  return {
    stop() {
      server.close();
      for (const pair of open) destroy(pair);
    },
  };
}

/** The two connections of a relay that belong together. */
type Pair = readonly [Socket, Socket];

function destroy(pair: Pair): void {
  for (const socket of pair) socket.destroy();
}
