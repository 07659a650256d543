import type { Problem } from "@valet/shared/http/problem";
import { type ApiProblemName, apiProblem } from "@valet/shared/protocol/api-problems";

/** What a call across a boundary comes to: failures that are expected are values, not exceptions. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: Problem };

export function ok<T>(value: T): Result<T> {
  return { ok: true, value };
}

/** @param detail for people. Never quotes content or secrets. */
export function refuse(name: ApiProblemName, detail: string): { readonly ok: false; readonly problem: Problem } {
  return { ok: false, problem: apiProblem(name, { detail }) };
}
