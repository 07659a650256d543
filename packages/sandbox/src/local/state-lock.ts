import { once } from "node:events";
import { statSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";

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
  const server: Server = createServer((socket) => socket.destroy());
  try {
    server.listen({ path: lockName(path, role) });
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    return undefined;
  }
  server.unref();
  return () => server.close();
}

/** Whether a process holds the directory, in this role. */
export async function isDirectoryLocked(path: string, role: string): Promise<boolean> {
  const socket = connect({ path: lockName(path, role) });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** @throws where there is no such directory */
function lockName(path: string, role: string): string {
  const { dev, ino } = statSync(path);
  // A name that begins with NUL is in Linux' abstract namespace: no file (unix(7)).
  return `\0${role}/${dev}/${ino}`;
}
