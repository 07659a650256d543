import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { UserError } from "../errors.ts";

/** Another program listens on the port. */
export class PortTakenError extends UserError {
  constructor(port: number) {
    super(`Port ${port} is in use. Name another one with --port.`);
  }
}

/**
 * Returns a free port on the loopback interface: the given one, or any.
 * @throws PortTakenError when the given port is in use
 */
export async function freePort(wanted = 0): Promise<number> {
  const server = createServer();
  server.listen(wanted, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") throw new PortTakenError(wanted);
    if (code === "EACCES") throw new UserError(`Port ${wanted} may not be used by this user. Name one above 1023.`);
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** How many free ports are tried: another program may take a port between its choice and its use. */
const MAX_PORTS = 10;

/**
 * Starts a server on the wanted port, or on any free one; retries with another free port if a program takes the first.
 * @throws PortTakenError when the wanted port is in use, or each of several free ports was taken
 */
export async function startOnPort<T>(wanted: number | undefined, start: (port: number) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await start(await freePort(wanted));
    } catch (error) {
      if (!(error instanceof PortTakenError) || wanted !== undefined || tries >= MAX_PORTS) throw error;
    }
  }
}
