import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { UserError } from "../errors.ts";

/**
 * A port of the loopback that is free now: the given one, or any.
 * @throws UserError when the given one is taken
 */
export async function freePort(wanted = 0): Promise<number> {
  const server = createServer();
  server.listen(wanted, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") throw new UserError(`Port ${wanted} is taken.`);
    if (code === "EACCES") throw new UserError(`Port ${wanted} may not be used by this user. Name one above 1023.`);
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
