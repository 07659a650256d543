/**
 * Lets one broker of this machine at a time have a scope of an engine: two of them would end each other's sandboxes. The lock is an
 * abstract Unix socket, which the kernel gives back when its process ends, however it ends.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Resolves to a function that gives the lock back.
 * @param engine what tells the engine from others, so that scopes of different engines may have one name
 * @throws Error that says what to do, if another broker has it
 */
export async function lockScope(engine: string, scope: string): Promise<() => Promise<void>> {
  const hash = createHash("sha256").update(`${engine}\n${scope}`).digest("hex").slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  server.listen(`\0valet-scope-${hash}`);
  try {
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new Error(
      `Another broker on this machine has the sandboxes of the scope ${scope}. End it, or choose another scope with --scope.`,
    );
  }
  server.unref();
  return async () => {
    const closed = once(server, "close");
    server.close();
    await closed;
  };
}
