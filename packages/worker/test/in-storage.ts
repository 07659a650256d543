import { env, runInDurableObject } from "cloudflare:test";

const namespace = (env as unknown as { STORAGE: DurableObjectNamespace }).STORAGE;

/** Runs a test inside a Durable Object of its own, with real SQLite. The same name is the same object. */
export function inStorage<T>(
  work: (storage: DurableObjectStorage) => T | Promise<T>,
  name = crypto.randomUUID(),
): Promise<T> {
  return runInDurableObject(namespace.get(namespace.idFromName(name)), (_object, state) => work(state.storage));
}
