import { once } from "node:events";
import { statSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";

/** The role of a broker. */
export const BROKER_ROLE = "valet-sandbox-broker";

/**
 * Locks a state directory for this process, by binding a name in the abstract socket namespace: only one process can
 * hold a name, and the kernel releases it when the process exits, however it exits. A lock file has neither property.
 * @returns a function that unlocks it
 * @throws when another broker holds the lock
 */
export async function lockStateDirectory(stateDir: string): Promise<() => void> {
  const unlock = await lockDirectory(stateDir, BROKER_ROLE);
  if (unlock === undefined) throw new Error(`${stateDir} is in use by another sandbox broker`);
  return unlock;
}

/**
 * Locks a directory for this process, until it is unlocked or the process exits.
 * @param role one process per role can hold the directory
 * @returns a function that unlocks it; `undefined` when another process holds it
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

/** Returns whether a process holds the directory in this role. */
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

/** @throws when the directory does not exist */
function lockName(path: string, role: string): string {
  const { dev, ino } = statSync(path);
  // A name that starts with NUL is in Linux's abstract namespace and not a file (unix(7)).
  return `\0${role}/${dev}/${ino}`;
}
