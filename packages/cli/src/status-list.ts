/** The text of a list of sessions and what they do. Pure. */

import { ageText } from "@valet/shared/duration-text";
import type { NowView } from "@valet/shared/protocol/now";
import type { VerdictView } from "@valet/shared/protocol/verdict";
import { wrap } from "./wrap.ts";

/** Returns a session as one line: its id, verdict, age and why. */
function statusLine(sessionId: string, verdict: VerdictView): string {
  return [sessionId, verdict.state.padEnd(20), ageText(verdict.value_ms).padStart(12), verdict.why].join("  ");
}

/**
 * Returns a line for each session: what it does, for how long, why.
 * @param columns the width of the terminal, on which a session has several lines if one is too long; `undefined` for a pipe
 */
export function statusLines(sessions: readonly Pick<NowView, "sessionId" | "verdict">[], columns?: number): string[] {
  return sessions.flatMap(({ sessionId, verdict }) => {
    const line = statusLine(sessionId, verdict);
    if (columns === undefined || line.length <= columns) return [line];
    const indent = "  ";
    const why = wrap(verdict.why, Math.max(1, columns - indent.length));
    return [`${sessionId}  ${verdict.state} for ${ageText(verdict.value_ms)}`, ...why.map((each) => indent + each)];
  });
}
