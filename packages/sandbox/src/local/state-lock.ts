import { once } from "node:events";
import { statSync } from "node:fs";
import { createServer, type Server } from "node:net";

/**
 * Holds a state directory for this process: a name that only one process of the machine can have at a time and that the
 * kernel takes back when the process ends, however it ends. A file could do neither.
 * @returns what gives it back
 * @throws when another broker holds it
 */
export async function lockStateDirectory(stateDir: string): Promise<() => void> {
  const { dev, ino } = statSync(stateDir);
  const server: Server = createServer((socket) => socket.destroy());
  try {
    // A name that begins with NUL is in Linux' abstract namespace: no file (unix(7)).
    server.listen({ path: `\0valet-sandbox-broker/${dev}/${ino}` });
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new Error(`${stateDir} is in use by another sandbox broker`);
  }
  server.unref();
  return () => server.close();
}
