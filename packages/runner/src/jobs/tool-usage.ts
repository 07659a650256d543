/** Measures tool calls: adds to the end of each what was used meanwhile, and, if it failed at a limit of the sandbox, that cause. */
import type { LimitError } from "@valet/shared/limit-errors";
import type { Usage } from "@valet/shared/protocol/turn";
import type { EndFact, Fact } from "../agent/facts.ts";
import { limitThatEnded } from "../usage/blame.ts";
import type { Measured, SandboxUsage } from "../usage/sandbox-usage.ts";

/** Shorter calls have no figures of their own, in ms. */
const LEAST_MS = 1_000;

export class ToolUsage {
  readonly #usage: Pick<SandboxUsage, "begin" | "explained"> | undefined;
  readonly #open = new Map<string, { readonly measured: Measured; readonly startMs: number }>();

  constructor(usage: Pick<SandboxUsage, "begin" | "explained"> | undefined) {
    this.#usage = usage;
  }

  /** Returns the facts with what was measured. */
  complete(facts: readonly Fact[]): readonly Fact[] {
    if (this.#usage === undefined) return facts;
    return facts.map((fact) => {
      if (fact.type === "begin" && fact.name.startsWith("execute_tool ")) this.#begin(fact.spanId, fact.startMs);
      return fact.type === "end" ? this.#end(fact) : fact;
    });
  }

  #begin(spanId: string, startMs: number): void {
    if (this.#usage !== undefined) this.#open.set(spanId, { measured: this.#usage.begin(), startMs });
  }

  #end(fact: EndFact): EndFact {
    const call = this.#open.get(fact.spanId);
    if (call === undefined) return fact;
    this.#open.delete(fact.spanId);
    const { usage, limits } = call.measured.end();
    const isLong = fact.endMs - call.startMs > LEAST_MS;
    const measured = isLong ? { ...fact, attributes: { ...fact.attributes, ...usageAttributes(usage) } } : fact;
    if (!hasFailed(fact)) return measured;
    const cause = limitThatEnded({ exitCode: fact.attributes["process.exit.code"], output: outputOf(fact) }, limits);
    if (cause === undefined) return measured;
    this.#usage?.explained(cause);
    return endedBy(measured, cause);
  }
}

export function usageAttributes({ cpuMs, memoryPeakBytes, diskWrittenBytes }: Usage) {
  return {
    "valet.usage.cpu_ms": cpuMs,
    "valet.usage.memory_peak_bytes": memoryPeakBytes,
    "valet.usage.disk_written_bytes": diskWrittenBytes,
  };
}

/** Whether a call has failed by itself. What ended it from outside was the first cause. */
function hasFailed({ outcome, errorType, attributes }: EndFact): boolean {
  if (outcome === "error") return errorType === "tool_failed" || errorType === "tool_timeout";
  const exitCode = attributes["process.exit.code"];
  return outcome === "ok" && exitCode !== undefined && exitCode !== 0;
}

/** Returns what a call printed, or why it has failed. */
function outputOf({ failure, content }: EndFact): string {
  const result = content["gen_ai.tool.call.result"];
  return failure ?? (typeof result === "string" ? result : "");
}

function endedBy(fact: EndFact, limit: LimitError): EndFact {
  // A failed call has no result.
  const { "gen_ai.tool.call.result": _, ...content } = fact.content;
  return { ...fact, outcome: "error", errorType: limit, content };
}
