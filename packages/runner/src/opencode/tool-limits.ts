/**
 * Tracks running tools with a time limit of their own, during which silence is expected. OpenCode 1.18.33 enforces the limits:
 * of `bash` in milliseconds, two minutes by default; of `webfetch` in seconds.
 */
import type { AgentEvent, ToolPart } from "./events.ts";

/** The unit of a tool's limit, and its default, in milliseconds. */
const LIMITED: { readonly [tool: string]: { readonly unitMs: number; readonly otherwiseMs: number } | undefined } = {
  bash: { unitMs: 1, otherwiseMs: 120_000 },
  webfetch: { unitMs: 1000, otherwiseMs: 30_000 },
};
/** The time from a tool's limit to the event of its end, in milliseconds, in which OpenCode ends its processes. */
const ENDING_MS = 5_000;

interface Limited {
  readonly startMs: number;
  /** The time from the start by which the event of the end must have arrived. */
  readonly limitMs: number;
}

export class ToolLimits {
  /** The running tools that have a limit, by their part. */
  readonly #running = new Map<string, Limited>();

  /** Handles an event of the agent or one of its sub-agents. */
  observe(event: AgentEvent): void {
    if (event.type !== "message.part.updated" || event.properties.part.type !== "tool") return;
    const { part } = event.properties;
    const limited = limitOf(part);
    if (limited === undefined) this.#running.delete(part.id);
    else this.#running.set(part.id, limited);
  }

  /**
   * Returns the time until which silence is expected, epoch ms; 0 if no tool with a limit is running.
   * @param fromMs as for {@link overrunMs}
   */
  quietUntilMs(fromMs: number): number {
    return Math.max(0, ...this.#ends(fromMs));
  }

  /**
   * Returns when the first of the running tools overruns its limit, epoch ms; infinity if none has a limit.
   * @param fromMs limits count from then at the earliest: the agent waited for a person, and so may the tool have, or the sandbox stood
   *   still
   */
  overrunMs(fromMs: number): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#ends(fromMs));
  }

  #ends(fromMs: number): number[] {
    return Array.from(this.#running.values(), ({ startMs, limitMs }) => Math.max(startMs, fromMs) + limitMs);
  }
}

function limitOf({ tool, state }: ToolPart): Limited | undefined {
  const ownMs = state.status === "running" ? ownLimitMs(tool, state.input) : undefined;
  if (state.status !== "running" || ownMs === undefined) return undefined;
  return { startMs: state.time.start, limitMs: ownMs + ENDING_MS };
}

/** Returns a tool call's own time limit in milliseconds; `undefined` if it has none. @param input its arguments */
export function ownLimitMs(tool: string, input: Readonly<Record<string, unknown>>): number | undefined {
  const limited = Object.hasOwn(LIMITED, tool) ? LIMITED[tool] : undefined;
  if (limited === undefined) return undefined;
  const { timeout } = input;
  const isGiven = typeof timeout === "number" && Number.isFinite(timeout) && timeout > 0;
  return isGiven ? timeout * limited.unitMs : limited.otherwiseMs;
}
