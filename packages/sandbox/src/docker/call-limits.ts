/** Gives each call of an engine a time limit: one that accepts connections and answers nothing would hold up everything else. */
import { LIMITS } from "@valet/shared/limits";
import type Docker from "dockerode";

const SECOND = 1000;
/** How long a call may take. */
const CALL_MS = 20 * SECOND;
const PING_MS = 5 * SECOND;
/** Removing many files takes the engine longer. */
const LONG_CALL_MS = 60 * SECOND;

/** How long the answer of a call may take to begin; `undefined` for calls that somebody else ends. Pure. */
export function callLimitMs(method: string, path: string): number | undefined {
  const [name = ""] = path.split("?");
  if (name === "/_ping") return PING_MS;
  // A copy, with the limit of what it is part of; a build, with a person who watches it.
  if (name.endsWith("/wait") || name === "/build") return undefined;
  if (name.endsWith("/stop")) return CALL_MS + LIMITS.processGraceMs;
  return method === "DELETE" ? LONG_CALL_MS : CALL_MS;
}

/** What the library passes to its one function for calls (docker-modem). */
interface Dialled {
  readonly path: string;
  readonly method: string;
  readonly abortSignal?: AbortSignal;
}
type Answer = (error: unknown, result?: unknown) => void;

/** The engine has not answered in time. */
export class EngineTimeout extends Error {
  override readonly name = "EngineTimeout";
  readonly code: string;

  constructor(limitMs: number) {
    super(`the engine has not answered within ${limitMs / SECOND} s`);
    this.code = `no answer within ${limitMs / SECOND} s`;
  }
}

/** @param everyMs the limit of every call, in place of the usual ones */
export function limitCalls({ modem }: Docker, everyMs: number | undefined): void {
  const dial = modem.dial.bind(modem) as (options: Dialled, answer: Answer) => void;
  modem.dial = (options: Dialled, answer: Answer) => {
    const limitMs = everyMs ?? callLimitMs(options.method, options.path);
    if (limitMs === undefined) return dial(options, answer);
    const ended = new AbortController();
    let isAnswered = false;
    const once: Answer = (error, result) => {
      if (isAnswered) return;
      isAnswered = true;
      clearTimeout(timer);
      answer(error, result);
    };
    const timer = setTimeout(() => {
      once(new EngineTimeout(limitMs));
      ended.abort();
    }, limitMs);
    const abortSignal =
      options.abortSignal === undefined ? ended.signal : AbortSignal.any([options.abortSignal, ended.signal]);
    dial({ ...options, abortSignal }, once);
  };
}
