import type { Problem } from "@valet/shared/http/problem";
import { type ApiProblemName, apiProblem } from "@valet/shared/protocol/api-problems";

/** The result of a call across a boundary. Expected failures are values, not exceptions. */
export type Result<T> = Done<T> | { readonly ok: false; readonly problem: Problem };

export interface Done<T> {
  readonly ok: true;
  readonly value: T;
  /** Present if the span of the request that the call was part of has ended with what the call did. */
  readonly endsRequest?: true;
}

export function ok<T>(value: T): Done<T> {
  return { ok: true, value };
}

/** Returns a refusal. @param detail a sentence for people, which never quotes content or secrets */
export function refuse(name: ApiProblemName, detail: string): { readonly ok: false; readonly problem: Problem } {
  return { ok: false, problem: apiProblem(name, { detail }) };
}
