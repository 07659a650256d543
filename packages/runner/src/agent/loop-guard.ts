/** Detects loops in one run of an agent. Pure. */
import { createHash } from "node:crypto";
import { type Answer, isUseless } from "./answer.ts";

export interface EndedToolCall {
  readonly tool: string;
  readonly input: unknown;
  readonly output: string;
}

/** The number of useless answers in a row that ends the run. */
const MAX_USELESS = 3;
/** The number of identical calls with the same result that ends the run. */
const MAX_REPETITIONS = 5;

export class LoopGuard {
  readonly #pollingTools: ReadonlySet<string>;
  #useless = 0;
  /** How often each call, with its result, has occurred since the last progress. */
  readonly #repetitions = new Map<string, number>();
  /** Why the run must end; `undefined` as long as it may continue. */
  verdict: "useless_answers" | "agent_loop" | undefined;

  /** @param pollingTools tools that the agent may call repeatedly with the same arguments */
  constructor(pollingTools: ReadonlySet<string>) {
    this.#pollingTools = pollingTools;
  }

  answered(answer: Answer): void {
    this.#useless = isUseless(answer) ? this.#useless + 1 : 0;
    if (this.#useless >= MAX_USELESS) this.verdict ??= "useless_answers";
  }

  /** Counts a call. A result that is new in this run is progress, which resets the counts of all earlier calls. */
  toolEnded({ tool, input, output }: EndedToolCall): void {
    if (this.#pollingTools.has(tool)) return;
    const call = createHash("sha256")
      .update(JSON.stringify([tool, inOrder(input), output]))
      .digest("base64");
    const count = this.#repetitions.get(call);
    if (count === undefined) {
      for (const known of this.#repetitions.keys()) this.#repetitions.set(known, 0);
      this.#repetitions.set(call, 1);
      return;
    }
    this.#repetitions.set(call, count + 1);
    if (count + 1 >= MAX_REPETITIONS) this.verdict ??= "agent_loop";
  }
}

/** Returns the value with the keys of its objects sorted, since the same arguments may arrive in another order. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, inOrder(inner)]),
  );
}
