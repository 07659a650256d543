/** Calls between the sessions of a family. */
import { whenDeleted } from "../../database/deleted-sessions.ts";
import type { SessionCalls } from "../contract.ts";
import { type Result, refuse } from "../core/result.ts";

/** Calls another session of the family. */
export type CallPeer = <T>(id: string, call: (peer: SessionCalls) => Promise<Result<T>>) => Promise<Result<T>>;

/** Returns a function that calls other sessions. One that was deleted is not called: its object must not start again. */
export function peersOf(db: D1Database, stubOf: (id: string) => SessionCalls): CallPeer {
  return async (id, call) => {
    const deletedAt = await whenDeleted(db, id);
    return deletedAt === undefined ? call(stubOf(id)) : refuseDeleted(deletedAt);
  };
}

/** @param deletedAt ISO 8601 */
export function refuseDeleted(deletedAt: string): Result<never> {
  return refuse("session-deleted", `That was at ${deletedAt}.`);
}
