/** Verified traces as lines. Pure. */
import { counted } from "./counted.ts";
import type { Comparison, Verified, VerifiedTrace } from "./verify-traces.ts";

/** How many ids a line names. */
const MAX_IDS = 10;

/** @param what a message, a workflow or a session */
export function verifiedLines(what: string, { ok, state, traces }: Verified): string[] {
  const head = `${what} is ${wordOf(state)}${ok || state !== "complete" ? "" : ", but the backend differs"}: ${counted(traces.length, "trace")}.`;
  return [head, ...traces.flatMap(traceLines)];
}

/** Returns the state of a certificate as text. */
export function wordOf(state: VerifiedTrace["state"]): string {
  return state === "not_sampled" ? "not sampled" : state;
}

function traceLines(trace: VerifiedTrace): string[] {
  const details = [...detailsOf(trace), ...(trace.comparison === undefined ? [] : comparisonLines(trace.comparison))];
  return [`${trace.traceId}  ${wordOf(trace.state)}. ${trace.sentence}`, ...details.map((line) => `  ${line}`)];
}

function detailsOf({
  sealed,
  late,
  refused,
  adopted,
  repeated,
  removed,
  missing,
  openSpans,
  unsampled,
  ...trace
}: VerifiedTrace) {
  const lines: string[] = [];
  for (const { cause, spans, unseenAfter } of sealed) {
    const since = unseenAfter === null ? "" : `; what its process began after ${unseenAfter} is unknown`;
    lines.push(`${counted(spans, "span")} sealed${cause === null ? "" : ` (${cause})`}${since}`);
  }
  if (missing.length > 0) lines.push(`lost: ${idText(missing)}`);
  if (openSpans.length > 0) lines.push(`open: ${idText(openSpans)}`);
  const counts: [number, string][] = [
    [trace.state === "not_sampled" ? 0 : unsampled, "not sampled"],
    [adopted, "adopted from traces of their own"],
    [late, "ended after they were sealed, which loses nothing"],
    [refused, "ended by a process that they are not of, which loses nothing"],
    [repeated, "received more than once"],
    [removed, "deleted since, to keep the session's store small"],
  ];
  for (const [count, text] of counts) if (count > 0) lines.push(`${counted(count, "span")} ${text}`);
  return lines;
}

function comparisonLines({ backend, spans, missing, unknown, repeated, removed }: Comparison): string[] {
  return [
    `${backend} has ${counted(spans, "span")}`,
    ...(missing.length > 0 ? [`missing there: ${idText(missing)}`] : []),
    ...(unknown.length > removed ? [`unknown to the session: ${idText(unknown)}`] : []),
    ...(repeated.length > 0 ? [`more than once there: ${idText(repeated)}`] : []),
  ];
}

function idText(ids: readonly string[]): string {
  const more = ids.length - MAX_IDS;
  return ids.slice(0, MAX_IDS).join(" ") + (more > 0 ? ` and ${more} more` : "");
}
