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
  const unlock = await lockDirectory(stateDir, "valet-sandbox-broker");
  if (unlock === undefined) throw new Error(`${stateDir} is in use by another sandbox broker`);
  return unlock;
}

/**
 * Locks a directory for this process, until it is unlocked or the process ends.
 * @param role what it is locked as: one process for each role may hold a directory
 * @returns what unlocks it; `undefined` when another process holds it
 */
export async function lockDirectory(path: string, role: string): Promise<(() => void) | undefined> {
  const { dev, ino } = statSync(path);
  const server: Server = createServer((socket) => socket.destroy());
  try {
    // A name that begins with NUL is in Linux' abstract namespace: no file (unix(7)).
    server.listen({ path: `\0${role}/${dev}/${ino}` });
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    return undefined;
  }
  server.unref();
  return () => server.close();
}
